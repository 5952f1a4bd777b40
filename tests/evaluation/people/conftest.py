"""A small dataset with conflict, its people, and an app to ask in process."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.people.answers import Sent, record
from mma_bench.evaluation.people.app import create_app
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import Design, Item, claim, items_of, plan
from mma_bench.prompts import NONE_OF_THE_ABOVE, forced_choice, misleading_caption
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator
from mma_bench.web.gate import session_cookie
from tests.evaluation.packaged import hashes, media_of, packaged_row, write

CLASSES = ["Bird", "Cat", "Rain", "Bowed_string_instrument"]
BASES = [f"{letter}{number}" for number in range(6) for letter in "ab"]
PASSWORD = "correct horse"  # noqa: S105


def class_of(base: str, shift: int = 0) -> str:
    return CLASSES[(BASES.index(base) + shift) % len(CLASSES)]


def row_of(base: str, condition: str) -> dict[str, Any]:
    """A row whose sound under `misaligned` is that of the next clip."""
    seen = heard = class_of(base)
    donor = None
    if condition == "misaligned":
        donor = BASES[(BASES.index(base) + 1) % len(BASES)]
        heard = class_of(donor)
    caption = class_of(base, 2) if condition == "misleading_caption" else None
    removed = condition == "audio_removed"
    row = packaged_row(base, condition) | {
        "options": CLASSES,
        "visual_class": seen,
        "audio_class": heard,
        "visual_answer": seen,
        "audio_answer": heard,
        "visual_abstention_answer": seen,
        "audio_abstention_answer": NONE_OF_THE_ABOVE if removed else heard,
        "donor_id": donor,
        "caption": caption,
        **hashes(media_of(base)),
    }
    for question in ("visual", "audio"):
        text = forced_choice(question, CLASSES)  # type: ignore[arg-type]
        if caption is not None:
            text = misleading_caption(question, CLASSES, caption)  # type: ignore[arg-type]
        row[f"{question}_question"] = text
    return row


CONDITIONS = ("aligned", "misaligned", "audio_removed", "misleading_caption")


@pytest.fixture(scope="session")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people") / "mma-bench"
    return write(folder, **{name: [row_of(base, name) for base in BASES] for name in CONDITIONS})


@pytest.fixture(autouse=True)
def _quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes of 64 MiB are the library's promise, and no use to these tests."""
    monkeypatch.setattr(accounts, "_HASHER", accounts.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    accounts._decoy_hash.cache_clear()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(f"sqlite:///{tmp_path / 'people.db'}")
    yield opened
    opened.close()


def designed(dataset: Path, *conditions: str, **options: Any) -> Design:
    benchmark = Benchmark(str(dataset), limit=options.get("limit"))
    return plan(benchmark, conditions, options.get("protocols", ["forced_choice"]), options.get("controls", 0.05))


@pytest.fixture
def design(dataset: Path, store: Store) -> Design:
    found = designed(dataset, "aligned", "misaligned")
    claim(store, found)
    return found


@pytest.fixture
def items(design: Design) -> dict[str, Item]:
    return {item.id: item for item in items_of(design)}


@pytest.fixture
def people(store: Store) -> dict[str, Annotator]:
    made = {name: accounts.add_annotator(store, name, PASSWORD) for name in ("anna", "ben")}
    return {**made, "olga": accounts.add_annotator(store, "olga", PASSWORD, organiser=True)}


Client = Callable[[str | None], TestClient]


@pytest.fixture
def client(store: Store, design: Design, people: dict[str, Annotator], tmp_path: Path) -> Client:
    """A browser, logged in as somebody or nobody."""
    app = create_app(store, design, tmp_path / "clips")

    def opened(name: str | None) -> TestClient:
        browser = TestClient(app, base_url="http://127.0.0.1", follow_redirects=False)
        if name is not None:
            browser.cookies.set(session_cookie("127.0.0.1"), accounts.open_session(store, people[name].id))
            browser.headers["X-Annotator"] = people[name].code
        return browser

    return opened


def answer_all(
    store: Store, who: Annotator, items: Mapping[str, Item], choose: Callable[[Item], str], seconds: float = 2.0
) -> None:
    """Record an answer of one person to everything."""
    for number, item in enumerate(items.values()):
        sent = Sent(answer_id=f"answer-{number:012}", item=item.id, option=choose(item), seconds=seconds)
        assert record(store, who, sent, items)
