"""What people are asked, and to which questions a database belongs."""

from dataclasses import replace
from pathlib import Path

import pytest

from mma_bench.builders.review.store import Store as ReviewStore
from mma_bench.errors import ConfigError, DataError
from mma_bench.evaluation.dataset import Benchmark
from mma_bench.evaluation.people.store import Store
from mma_bench.evaluation.people.study import claim, design_of, is_exported, items_of
from mma_bench.evaluation.protocols import prompts_of
from tests.evaluation.packaged import write
from tests.evaluation.people.conftest import BASES, CLASSES, class_of, designed, row_of


def test_people_are_asked_what_a_model_is_asked(dataset: Path) -> None:
    design = designed(dataset, "misaligned", "misleading_caption", controls=0.0)
    found = {(item.row, item.prompt): item for item in items_of(design)}
    wanted = {
        (row["id"], prompt.key): prompt
        for condition in design.conditions
        for row in Benchmark(str(dataset)).texts(condition)
        for prompt in prompts_of(row)
    }
    assert found.keys() == wanted.keys()
    for key, item in found.items():
        listed = ", ".join(item.options)
        assert wanted[key].text == f"{item.before} {listed}. {item.after}.".removesuffix(" .")
        assert item.options == wanted[key].options


def test_the_caption_is_shown_and_the_condition_is_not(dataset: Path) -> None:
    item = next(item for item in items_of(designed(dataset, "misleading_caption")) if not item.control)
    assert item.before.startswith(f"Video_caption: {class_of(item.base, 2)}.")
    assert "caption" not in item.id


def test_none_of_the_above_is_offered_under_abstention_only(dataset: Path) -> None:
    items = items_of(designed(dataset, "audio_removed", protocols=["forced_choice", "abstention"], controls=0.0))
    assert {(item.protocol, len(item.options)) for item in items} == {("forced_choice", 4), ("abstention", 5)}
    silent = next(item for item in items if item.protocol == "abstention" and item.question == "audio")
    assert silent.expected == silent.options[-1] == "None of the above"


def test_a_long_text_is_read_on_request_only(dataset: Path, tmp_path: Path) -> None:
    rows = [row_of(base, "long_context") | {"context": "apple " * 10} for base in BASES]
    folder = write(tmp_path / "long", aligned=[row_of(base, "aligned") for base in BASES], long_context=rows)
    assert designed(folder).conditions == ("aligned",)
    assert designed(folder, "long_context").conditions == ("long_context",)


def test_controls_are_some_of_the_aligned_prompts(dataset: Path) -> None:
    design = designed(dataset, "aligned", "misaligned", controls=0.1)
    items = items_of(design)
    controls = [item for item in items if item.control]
    assert len(items) == 4 * len(BASES)
    assert len(controls) == round(0.1 * 4 * len(BASES))
    assert {item.condition for item in controls} == {"aligned"}
    assert controls == [item for item in items_of(design) if item.control]


def test_controls_are_added_about_other_clips_where_no_aligned_prompt_is_asked(dataset: Path) -> None:
    design = designed(dataset, "misaligned", limit=4)
    items = items_of(design)
    asked = {clip for item in items if not item.control for clip in (item.base, item.donor)}
    controls = [item for item in items if item.control]
    assert len(controls) == 2
    assert not asked & {item.base for item in controls}
    assert [is_exported(design, item) for item in items] == [True] * 8 + [False] * 2
    assert not any(item.control for item in items_of(replace(design, controls=0.0)))


@pytest.mark.parametrize(
    ("conditions", "options", "words"),
    [
        (["frames_zeroed"], {}, "no condition 'frames_zeroed'"),
        (["nonsense"], {}, "no condition 'nonsense'"),
        ([], {"protocols": ["loglikelihood"]}, "cannot be asked by the protocols 'loglikelihood'"),
        ([], {"protocols": []}, "cannot be asked"),
        (["misleading_caption"], {"protocols": ["abstention"]}, "abstention does not apply"),
    ],
)
def test_what_cannot_be_asked_is_refused(
    dataset: Path, conditions: list[str], options: dict[str, list[str]], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        designed(dataset, *conditions, **options)


@pytest.mark.parametrize("without", [(), ("video",)])
def test_a_dataset_without_clips_is_refused(tmp_path: Path, without: tuple[str, ...]) -> None:
    rows = [row_of(base, "aligned") | {"video": None} for base in BASES]
    folder = write(tmp_path / "index", without, aligned=rows)
    with pytest.raises(DataError, match=r"a0.aligned has no clip to show.*\n?.*publish rebuild"):
        designed(folder)


def test_a_database_of_the_other_task_is_refused(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'one.db'}"
    ReviewStore(url).close()
    with pytest.raises(DataError, match="it has accounts, but no table answers"):
        Store(url)
    other = f"sqlite:///{tmp_path / 'two.db'}"
    Store(other).close()
    with pytest.raises(DataError, match="it has accounts, but no table items"):
        ReviewStore(other)


@pytest.mark.parametrize(
    ("conditions", "options", "words"),
    [
        (("aligned",), {}, r"conditions was \('aligned', 'misaligned'\) and is now \('aligned',\)"),
        (("aligned", "misaligned"), {"limit": 3}, "limit was None and is now 3"),
        (("aligned", "misaligned"), {"controls": 0.5}, "controls was 0.05"),
    ],
)
def test_a_database_belongs_to_its_questions(
    dataset: Path, store: Store, conditions: tuple[str, ...], options: dict[str, float], words: str
) -> None:
    first = designed(dataset, "aligned", "misaligned")
    claim(store, first)
    claim(store, first)
    with pytest.raises(ConfigError, match=words):
        claim(store, designed(dataset, *conditions, **options))
    assert design_of(store) == first


def test_a_database_of_another_dataset_is_refused_and_one_that_moved_is_not(
    dataset: Path, store: Store, tmp_path: Path
) -> None:
    claim(store, designed(dataset, "aligned"))
    rows = [row_of(base, "aligned") for base in BASES]
    moved = write(tmp_path / "moved", aligned=rows)
    claim(store, designed(moved, "aligned"))
    assert design_of(store).dataset == str(moved)
    changed = [row | {"visual_answer": CLASSES[0]} for row in rows]
    other = designed(write(tmp_path / "other", aligned=changed), "aligned")
    with pytest.raises(ConfigError, match="the dataset's aligned is not the one that people were asked about"):
        claim(store, other)
    write(moved, aligned=changed)
    with pytest.raises(DataError, match="aligned has changed since people were asked"):
        design_of(store)


def test_a_database_without_questions_says_so(store: Store) -> None:
    with pytest.raises(DataError, match="has no questions yet"):
        design_of(store)
