"""What annotators see in a real Chromium: from the first moment to the last clip, on a phone, and of the sound."""

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import pytest

from mma_bench.builders.review import rehearsal
from mma_bench.builders.review.review_set import active
from mma_bench.builders.review.store import Store
from mma_bench.web import accounts
from tests.builders.review.conftest import CHROMIUM, PASSWORD, ROOT, Enter, Server, known, shown

if TYPE_CHECKING:
    from playwright.sync_api import Page, Route

pytestmark = [pytest.mark.slow, pytest.mark.skipif(CHROMIUM is None, reason="no chromium is installed")]

LIVE = "main button:visible, main input:visible, main textarea:visible, main video:visible, main canvas:visible"


@pytest.fixture(scope="module")
def practice(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """The rehearsal, which needs no build; anna and ben can log in."""
    project = tmp_path_factory.mktemp("practice")
    (project / "params.yaml").write_bytes((ROOT / "params.yaml").read_bytes())
    known(f"sqlite:///{project / 'annotations/review.db'}", "anna", "ben", "carla", "dora")
    running = Server(project, "--rehearsal")
    yield running
    running.close()


def vote(page: "Page", keys: str = "123p") -> None:
    clip = shown(page)
    for key in keys:
        page.keyboard.press(key)
    page.wait_for_selector(f'body:not([data-item="{clip}"])')


def latest(page: "Page") -> list[str]:
    return page.locator(".latest:visible li").all_text_contents()


def test_after_the_last_clip_there_is_nothing_to_press(practice: Server, enter: Enter) -> None:
    page = enter(practice, "anna")
    for _ in range(8):
        vote(page)
    page.wait_for_selector("h2:text('You have judged all clips')")
    assert page.locator(LIVE).count() == 0
    assert page.evaluate("() => document.activeElement.id") == "done-heading"
    assert page.text_content("#count") == "8 of 8"
    assert page.evaluate("() => [...document.querySelectorAll('video')].every((video) => video.paused)")
    for key in "1 r123pfns":  # nothing plays, and nothing is voted on
        page.keyboard.press(key)
    assert page.evaluate("() => [...document.querySelectorAll('video')].every((video) => video.paused)")
    page.wait_for_selector("text=All votes are saved")
    page.reload()
    page.wait_for_selector("h2:text('You have judged all clips')")
    assert page.locator(LIVE).count() == 0
    assert len(latest(page)) == 5
    page.keyboard.press("u")  # the one way back
    page.wait_for_selector("body[data-item]")
    assert page.is_visible("#pass")
    assert page.text_content("#count") == "7 of 8, about 1 min left"
    vote(page, "p")
    page.click("text=Compare your answers with the expected ones")
    page.wait_for_selector("text=3 of 8 as expected")
    assert page.locator("td.expected").count() == 8


def test_a_new_visit_has_no_empty_player(practice: Server, enter: Enter) -> None:
    page = enter(practice, "ben")
    held: list[Route] = []
    page.route("**/api/queue*", lambda route: held.append(route))
    page.reload()
    page.wait_for_selector("#saved:text('All votes are saved')")
    assert page.is_visible("text=Loading …")
    assert page.locator(LIVE).count() == 0
    while not held:
        page.wait_for_event("request")
    held[0].continue_()
    page.wait_for_selector("video:visible")
    assert not page.is_visible("text=Loading …")


@pytest.mark.parametrize(("width", "height"), [(390, 844), (360, 640)])
def test_on_a_phone_the_clip_stays_in_sight_while_questions_are_answered(
    shared_server: Any, enter: Enter, width: int, height: int
) -> None:
    known(shared_server.database, f"ines-{width}")
    page = enter(shared_server, f"ines-{width}", width, height)
    page.wait_for_selector("video:visible")
    for number, criterion in enumerate(("object_visible", "audio_pure", "action_dynamic")):
        answer = page.locator(f'label:has(input[name="{criterion}"][value="yes"])')
        if number:
            answer.evaluate("label => label.scrollIntoView({block: 'center'})")
        answer.click()  # refused by Playwright if anything lies over it
        assert page.is_checked(f'input[name="{criterion}"][value="yes"]')
        box = page.locator("video:visible").bounding_box()
        assert box is not None
        assert box["y"] >= 0, criterion
        assert box["y"] + box["height"] <= height, criterion
    assert page.evaluate("() => scrollY") > 0
    third = page.locator('input[name="action_dynamic"][value="yes"]')
    third.evaluate("input => { const at = input.getBoundingClientRect().y; window.scrollBy(0, at - 100); }")
    page.evaluate("() => document.activeElement.blur()")
    third.focus()  # by keyboard or not: what is fixed does not lie over the focus
    focused, clip = (page.locator(part).bounding_box() for part in ("label:has(:focus)", "#clip"))
    assert focused is not None
    assert clip is not None
    assert focused["y"] >= clip["y"] + clip["height"]
    page.click("#pass")
    page.wait_for_selector("#count:text('1 of ')")
    assert page.evaluate("() => scrollY") == 0  # the next clip begins at its first question


def test_a_vote_shows_at_once_with_and_without_the_server(shared_server: Any, enter: Enter) -> None:
    known(shared_server.database, "jane")
    page = enter(shared_server, "jane")
    first = page.text_content("#class")
    vote(page)
    assert latest(page) == [f"{first}: pass"]
    assert (page.text_content("#count") or "").startswith("1 of ")
    page.wait_for_selector("text=All votes are saved")

    refusals = iter(range(3))

    def unreachable(route: "Route") -> None:
        if next(refusals, None) is None:
            route.continue_()
        else:
            route.abort()

    page.route("**/api/vote", unreachable)
    second = page.text_content("#class")
    vote(page, "1232f")
    assert latest(page) == [f"{second}: fail", f"{first}: pass"]
    page.click("text=Your votes")  # before the vote has reached the server
    page.wait_for_selector("h2:text('Your votes (2)')")  # without a reload by hand
    assert page.locator("td.verdict").all_text_contents() == ["fail", "pass"]
    page.wait_for_selector("text=All votes are saved")
    page.goto(shared_server.url)
    page.wait_for_selector("body[data-item]")
    assert latest(page) == [f"{second}: fail", f"{first}: pass"]
    page.keyboard.press("u")
    page.keyboard.press("u")
    assert latest(page) == []


# The painted share of the canvas's height in the middle column of each of 20 equal parts.
HEIGHTS = """() => {
  const canvas = document.getElementById("waveform");
  const {width, height} = canvas;
  const {data} = canvas.getContext("2d").getImageData(0, 0, width, height);
  return Array.from({length: 20}, (_, part) => {
    const column = Math.floor((part + 0.5) * width / 20);
    let painted = 0;
    for (let row = 0; row < height; row += 1) painted += data[4 * (row * width + column) + 3] > 0;
    return painted / height;
  });
}"""


def test_the_waveform_is_that_of_the_clip_and_a_click_moves_to_its_place(practice: Server, enter: Enter) -> None:
    store = Store(f"sqlite:///{practice.project / 'annotations/rehearsal.db'}")
    drum = next(item.id for item in active(store) if item.clip_id == "rehearsal.drum.right")
    store.close()
    page = enter(practice, "carla")
    while shown(page) != drum:
        page.keyboard.press("n")
    page.wait_for_selector("#waveform:visible")
    video, canvas = page.locator("video:visible"), page.locator("#waveform")
    video.evaluate("video => { video.pause(); video.currentTime = video.duration / 2; }")
    video.evaluate("video => new Promise(done => video.seeking ? video.onseeked = done : done())")
    heights = page.evaluate(HEIGHTS)
    quiet = int(20 * rehearsal.blows_s("drum")[0] / rehearsal.SECONDS)  # parts before the first blow
    assert quiet >= 1
    assert max(heights[:quiet]) < 0.2
    assert max(heights[:9]) > 0.3
    box = canvas.bounding_box()
    assert box is not None
    canvas.click(position={"x": box["width"] / 2, "y": 5})
    at, duration = video.evaluate("video => [video.currentTime, video.duration]")
    assert at == pytest.approx(duration / 2, rel=0.02)
    page.keyboard.press("ArrowLeft")
    assert video.evaluate("video => video.currentTime") == pytest.approx(at - 1, abs=0.01)
    page.keyboard.press("ArrowRight")
    assert video.evaluate("video => video.currentTime") == pytest.approx(at, abs=0.01)


def test_half_speed_is_for_one_clip_by_key_and_by_button(practice: Server, enter: Enter) -> None:
    page = enter(practice, "dora")

    def rate() -> tuple[float, str | None]:
        speed = page.locator("video:visible").evaluate("video => video.playbackRate")
        return speed, page.get_attribute("#slow", "aria-pressed")

    assert rate() == (1, "false")
    page.keyboard.press("s")
    assert rate() == (0.5, "true")
    page.click("#slow")
    assert rate() == (1, "false")
    page.click("#slow")
    page.keyboard.press("n")
    assert rate() == (1, "false")


@pytest.mark.parametrize("width", [1280, 390])
def test_the_login_is_one_column_with_its_error_below(shared_server: Any, browser: Any, width: int) -> None:
    page = browser.new_page(viewport={"width": width, "height": 844})
    page.set_default_timeout(0)
    page.goto(shared_server.url)
    page.fill("#name", f"nobody-{width}")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("[role=alert]")
    page.wait_for_load_state("load")
    parts = ("h1", "p.muted", "label[for=name]", "#name", "label[for=password]", "#password", "button", "[role=alert]")
    boxes = [page.locator(part).bounding_box() for part in parts]
    assert len({round(box["x"]) for box in boxes}) == 1
    for above, below in itertools.pairwise(boxes):
        assert above["y"] + above["height"] <= below["y"]
    assert page.get_attribute("#password", "aria-describedby") == page.get_attribute("[role=alert]", "id")
    page.close()


def test_the_page_of_an_adjudicator_without_work_says_so(shared_server: Any, browser: Any) -> None:
    store = Store(shared_server.database)
    accounts.add_annotator(store, "third", PASSWORD, adjudicator=True)
    store.close()
    page = browser.new_page()
    page.set_default_timeout(0)
    page.goto(shared_server.url)
    page.fill("#name", "third")
    page.fill("#password", PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_selector("h2:text('There is no split vote to decide at the moment.')")
    assert page.locator(LIVE).count() == 0
    page.close()
