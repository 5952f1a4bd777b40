"""Every promise about the packaged dataset, broken on purpose: real clips in real shards."""

import hashlib
import shutil
from collections.abc import Callable
from contextlib import chdir
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from benchmarks import gate
from mma_bench import layout
from mma_bench.errors import DataError
from mma_bench.media.packets import packet_sha256
from mma_bench.prompts import forced_choice, misleading_caption
from mma_bench.validation import evaluate
from mma_bench.validation.expect import Column, at_most, equal, unique
from mma_bench.validation.package_rows import read_shards
from mma_bench.validation.promises import Promise
from tests.clips import clip
from tests.validation.world import World, suite_of

OPTIONS = ["Bell", "Cat", "Dog", "Hammer"]
KEPT = (
    *("id", "condition", "visual_class", "audio_class", "caption", "context_seed", "context", "base_id", "donor_id"),
    *("manipulation", "level", "class_distance", "human_verified", "judge", "label_ids", "start_s", "end_s"),
    *("video_sha256", "audio_sha256", "licence", "source"),
)
SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in KEPT if name not in ("context_seed", "class_distance", "label_ids")),
        *((f"{sense}_{text}", pa.string()) for sense in ("visual", "audio") for text in ("question", "answer")),
        *((f"{sense}_abstention_answer", pa.string()) for sense in ("visual", "audio")),
        *((f"{sense}_question_short_answer", pa.string()) for sense in ("visual", "audio")),
        *((f"text_{text}", pa.string()) for text in ("question", "answer")),
        ("context_seed", pa.int64()),
        ("class_distance", pa.int64()),
        ("options", pa.list_(pa.string())),
        ("label_ids", pa.list_(pa.string())),
        ("video", pa.struct([("bytes", pa.binary()), ("path", pa.string())])),
    ]
)
for name, kind in (("human_verified", pa.bool_()), *((each, pa.float64()) for each in ("level", "start_s", "end_s"))):
    SCHEMA = SCHEMA.set(SCHEMA.get_field_index(name), pa.field(name, kind))


class Dataset(World):
    """The world with the dataset packaged from its variants of cat-1 (test) and dog-2 (train)."""

    def __init__(self, media: bytes, other: bytes, hashes: dict[str, str]) -> None:
        super().__init__()
        self.raw["workers"] = 1  # this process; others take longer to start than the clips
        self.other = other
        wanted = pl.col("base_id").is_in(["cat-1", "dog-2"])
        self.tables["variants"] = (
            self.tables["variants"].filter(wanted).with_columns(**{k: pl.lit(v) for k, v in hashes.items()})
        )
        self.shards: dict[str, list[dict[str, Any]]] = {}
        for row in self.tables["variants"].iter_rows(named=True):
            shard = f"data/{row['condition']}/{row['split']}-00000-of-00001.parquet"
            self.shards.setdefault(shard, []).append(packaged(row, media))
        self.columns = SCHEMA
        self.renamed: dict[str, str] = {}
        self.announced: dict[str, int] = {}
        self.later: list[Callable[[], object]] = []

    def row(self, name: str) -> dict[str, Any]:
        """A packaged row."""
        return next(row for rows in self.shards.values() for row in rows if row["id"] == name)

    def write(self) -> None:
        """Also the dataset, with its card and checksums; then what is to happen to it afterwards."""
        super().write()
        for name, rows in self.shards.items():
            path = layout.PACKAGE / name
            path.parent.mkdir(parents=True, exist_ok=True)
            pq.write_table(pa.Table.from_pylist(rows, schema=self.columns), path)
        (layout.PACKAGE / "README.md").write_text(self.card(), encoding="utf-8")
        files = sorted(path for path in layout.PACKAGE.rglob("*") if path.is_file())
        sums = {path.relative_to(layout.PACKAGE): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
        (layout.PACKAGE / "checksums.sha256").write_text("".join(f"{sums[path]}  {path}\n" for path in sums))
        for change in self.later:
            change()

    def card(self) -> str:
        """A card with the metadata that loaders read."""
        configs: dict[str, list[str]] = {}
        for name in self.shards:
            configs.setdefault(Path(name).parent.name, []).append(Path(name).name.partition("-")[0])
        rows = {name: len(rows) for name, rows in self.shards.items()} | self.announced
        head = {
            "configs": [
                {
                    "config_name": config,
                    "data_files": [
                        {"split": split, "path": f"data/{self.renamed.get(config, config)}/{split}-*.parquet"}
                        for split in splits
                    ],
                }
                for config, splits in configs.items()
            ],
            "dataset_info": [
                {
                    "config_name": config,
                    "splits": [
                        {"name": split, "num_examples": rows[f"data/{config}/{split}-00000-of-00001.parquet"]}
                        for split in splits
                    ],
                }
                for config, splits in configs.items()
            ],
        }
        return f"---\n{yaml.safe_dump(head)}---\n\n# MMA-Bench\n"


def packaged(row: dict[str, Any], media: bytes) -> dict[str, Any]:
    """The packaged row of a variant, by the paper."""
    gone = {
        "visual": row["condition"] == "frames_zeroed" or row["manipulation"] in ("grey", "pixel_noise"),
        "audio": row["condition"] == "audio_removed" or row["manipulation"] in ("white_noise", "room_tone"),
    }
    made: dict[str, Any] = {name: row[name] for name in KEPT}
    for sense in ("visual", "audio"):
        answer = row[f"{sense}_class"]
        made[f"{sense}_question"] = (
            misleading_caption(sense, OPTIONS, row["caption"]) if row["caption"] else forced_choice(sense, OPTIONS)  # type: ignore[arg-type]
        )
        short = f"{made[f'{sense}_question']} Answer using a single word or phrase." if row["caption"] else None
        if row["condition"] == "three_way":
            made[f"{sense}_question"], short = short, None
        made[f"{sense}_question_short_answer"] = short
        made[f"{sense}_answer"] = answer
        made[f"{sense}_abstention_answer"] = "None of the above" if gone[sense] else answer
    if row["condition"] == "three_way":
        asked = f"Which class does the video caption name? Options: {', '.join(OPTIONS)}."
        made["text_question"] = f"Video_caption: {row['caption']}. {asked} Answer using a single word or phrase."
        made["text_answer"] = row["caption"]
    return {**made, "options": OPTIONS, "video": {"bytes": media, "path": f"{row['id']}.mp4"}}


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> tuple[bytes, bytes, dict[str, str]]:
    """A clip, another one, and the packet hashes of the first."""
    folder = tmp_path_factory.mktemp("media")
    one, other = (clip(folder / f"{seconds}.mp4", seconds, "32x32", "5") for seconds in (1, 2))
    hashes = {f"{kind}_sha256": packet_sha256(one, kind) for kind in ("video", "audio")}  # type: ignore[arg-type]
    return one.read_bytes(), other.read_bytes(), hashes


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, media: tuple[bytes, bytes, dict[str, str]]) -> Dataset:
    """A sound dataset in the current folder."""
    monkeypatch.chdir(tmp_path)
    return Dataset(*media)


def _edit(name: str, **values: Any) -> Callable[[Dataset], None]:
    return lambda dataset: dataset.row(name).update(values)


def _swap_media(dataset: Dataset) -> None:
    dataset.row("cat-1.aligned")["video"] = {"bytes": dataset.other, "path": "cat-1.aligned.mp4"}


def _drop(dataset: Dataset) -> None:
    rows = dataset.shards["data/misaligned/train-00000-of-00001.parquet"]
    rows.remove(dataset.row("dog-2.misaligned.cat-2"))


def _stowaway(dataset: Dataset) -> None:
    dataset.shards["data/aligned/test-00000-of-00001.parquet"].append(
        dataset.row("cat-1.aligned") | {"id": "cat-5.aligned"}
    )


def _wrong_folder(dataset: Dataset) -> None:
    row = dataset.row("cat-1.audio_removed")
    dataset.shards["data/audio_removed/test-00000-of-00001.parquet"].remove(row)
    dataset.shards["data/aligned/test-00000-of-00001.parquet"].append(row)


def _tampered(dataset: Dataset) -> None:
    card = layout.PACKAGE / "README.md"
    dataset.later.append(lambda: card.write_text(card.read_text() + "\nOne more claim.\n"))


def _without_a_column(dataset: Dataset) -> None:
    dataset.columns = SCHEMA.remove(SCHEMA.get_field_index("audio_abstention_answer"))


FAULTS: dict[str, Callable[[Dataset], None]] = {
    "file_is_as_listed": _tampered,
    "shard_is_in_the_card": lambda dataset: dataset.renamed.update(aligned="aligned-clips"),
    "config_has_rows": lambda dataset: dataset.shards["data/long_context/test-00000-of-00001.parquet"].clear(),
    "card_announces_the_rows": lambda dataset: dataset.announced.update(
        {"data/aligned/test-00000-of-00001.parquet": 658}
    ),
    "every_variant_is_packaged": _drop,
    "nothing_else_is_packaged": _stowaway,
    "shard_has_every_column": _without_a_column,
    "id_is_unique": lambda dataset: dataset.shards["data/aligned/test-00000-of-00001.parquet"].append(
        dataset.row("cat-1.aligned")
    ),
    "row_lies_under_its_condition": _wrong_folder,
    "row_says_what_the_table_says": _edit("cat-1.aligned", licence="CC0"),
    "video_bytes_are_the_promised_ones": _swap_media,
    "audio_bytes_are_the_promised_ones": _swap_media,
    "options_are_the_classes_of_the_split": _edit("cat-1.aligned", options=["Bell", "Cat", "Dog"]),
    "visual_question_is_that_of_the_paper": _edit("cat-1.aligned", visual_question="What do you see?"),
    "visual_question_short_answer_adds_the_sentence": _edit(
        "cat-1.misleading_caption", visual_question_short_answer=forced_choice("visual", OPTIONS)
    ),
    "visual_answer_is_the_class": _edit("cat-1.frames_zeroed", visual_answer="None of the above"),
    "visual_abstention_answer_follows_the_condition": _edit("cat-1.frames_zeroed", visual_abstention_answer="Cat"),
    "audio_question_is_that_of_the_paper": _edit(
        "cat-1.misleading_caption", audio_question=forced_choice("audio", OPTIONS)
    ),
    "audio_question_short_answer_adds_the_sentence": _edit(
        "cat-1.misleading_caption", audio_question_short_answer=None
    ),
    "audio_answer_is_the_class": _edit("cat-1.misaligned.dog-1", audio_answer="Cat"),
    "audio_abstention_answer_follows_the_condition": _edit(
        "cat-1.aligned", audio_abstention_answer="None of the above"
    ),
    "text_question_asks_for_the_caption": _edit("cat-1.three_way.dog-1", text_question="What is written?"),
    "text_answer_is_the_caption": _edit("cat-1.three_way.dog-1", text_answer="Dog"),
    "source_is_stated": _edit("cat-1.aligned", source=None),
    "licence_is_stated": _edit("cat-1.aligned", licence=""),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", FAULTS)
def test_a_broken_promise_is_refused_by_name(dataset: Dataset, name: str) -> None:
    dataset.assert_refused("package", name, lambda _: FAULTS[name](dataset))


@pytest.mark.parametrize("text", ["focus combine proper", None])
def test_an_altered_context_is_refused(dataset: Dataset, text: str | None) -> None:
    altered = _edit("cat-1.long_context", context=text)
    dataset.assert_refused("package", "row_says_what_the_table_says", lambda _: altered(dataset))


def test_every_promise_has_its_fault(dataset: Dataset) -> None:
    assert dataset.promise_names("package") == list(FAULTS)


def test_a_sound_dataset_passes(dataset: Dataset) -> None:
    dataset.write()
    dataset.check("package")


def test_bytes_that_are_no_clip_are_refused(dataset: Dataset) -> None:
    broken = _edit("cat-1.aligned", video={"bytes": b"no clip", "path": "cat-1.aligned.mp4"})
    dataset.assert_refused("package", "video_bytes_are_the_promised_ones", lambda _: broken(dataset))


@pytest.mark.slow
@pytest.mark.parametrize("where", ["data/aligned/extra.txt", "notes.md"])
def test_a_file_that_is_not_listed_is_refused(dataset: Dataset, where: str) -> None:
    dataset.later.append(lambda: (layout.PACKAGE / where).write_text("more"))
    dataset.assert_refused("package", "file_is_as_listed", lambda _: None)


def test_a_listed_file_that_is_gone_is_refused(dataset: Dataset) -> None:
    dataset.later.append(next((layout.PACKAGE / name).unlink for name in dataset.shards))
    dataset.assert_refused("package", "file_is_as_listed", lambda _: None)


def test_a_card_without_metadata_is_refused(dataset: Dataset) -> None:
    dataset.later.append(lambda: (layout.PACKAGE / "README.md").write_text("# MMA-Bench\n"))
    dataset.assert_refused("package", "shard_is_in_the_card", lambda _: None)


def test_a_folder_without_shards_is_refused_by_name(dataset: Dataset) -> None:
    dataset.later.append(lambda: shutil.rmtree(layout.PACKAGE / "data"))
    dataset.assert_refused("package", "file_is_as_listed", lambda _: None)


@pytest.mark.parametrize("name", ["checksums.sha256", "README.md"])
def test_a_dataset_without_its_list_or_card_is_named(dataset: Dataset, name: str) -> None:
    dataset.write()
    (layout.PACKAGE / name).unlink()
    with pytest.raises(DataError, match=f"mma-bench/{name} does not exist"):
        dataset.check("package")


@pytest.mark.slow
def test_the_gates_memory_does_not_hold_its_rows(tmp_path: Path) -> None:
    """In one frame, a row takes 28,000 to 31,000 bytes; in parts 4,500 to 10,000, most of it the allocators' noise."""
    peaks = {}
    for rows in (2_000, 8_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        with chdir(folder):
            gate.write_dataset(folder, rows)
        peaks[rows] = gate.measure(folder, "in parts")["bytes"]
    assert (peaks[8_000] - peaks[2_000]) / 6_000 < 19_000


def test_a_frame_in_parts_is_judged_as_one_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pl.DataFrame(
        {"id": list("abcabdex"), "n": [1, None, 3, 9, 1, None, 8, 2], "same": [1, 2, 3, 9, 1, 6, 0, 2]}
    )
    promises = [
        Promise("id", "", "", unique("id"), "", show=("n",)),
        Promise("low", "", "", at_most("n", 5), ""),
        Promise("pair", "", "", equal("n", "same", Column("id") != "e"), ""),
        Promise("gone", "", "", at_most("nothing", 5), ""),
    ]
    whole = evaluate.evaluate(promises, {"rows": frame})
    assert [(found.rows, found.broken) for found in whole] == [(8, 4), (8, 4), (7, 2), (0, 0)]
    assert [row["id"] for row in whole[1].examples] == ["a", "e", "b", "d"], "values first, then nulls"
    monkeypatch.setattr(evaluate, "PART", 3)
    assert evaluate.evaluate(promises, {"rows": frame.clone()}) == whole
    assert evaluate.evaluate(promises, {"rows": frame.iter_slices(2)}) == whole


@pytest.mark.slow
def test_workers_find_the_same_facts_in_the_order_of_the_shards_and_read_the_files_anew(dataset: Dataset) -> None:
    dataset.write()
    alone = pl.concat(read_shards(layout.PACKAGE, dataset.params))
    dataset.raw["workers"] = 2
    assert pl.concat(read_shards(layout.PACKAGE, dataset.params)).equals(alone)
    _swap_media(dataset)
    dataset.write()
    again = pl.concat(read_shards(layout.PACKAGE, dataset.params))
    swapped = again.filter(id="cat-1.aligned")
    assert swapped.item(0, "video_packets") != alone.filter(id="cat-1.aligned").item(0, "video_packets")
    assert again.filter(pl.col("id") != "cat-1.aligned").equals(alone.filter(pl.col("id") != "cat-1.aligned"))


@pytest.fixture
def free(dataset: Dataset) -> Dataset:
    """An edition restricted to CC BY, of clips that are under it."""
    dataset.raw["package"]["licences"] = ["cc-by"]
    dataset.tables["aligned"] = dataset.tables["aligned"].with_columns(licence=pl.lit("CC BY 4.0, Ada"))
    return dataset


def test_an_edition_of_free_clips_passes(free: Dataset) -> None:
    free.write()
    for who in ("base", "donor"):
        free.check("package", f"{who}_may_be_passed_on")


@pytest.mark.parametrize(("who", "clip_id"), [("base", "cat-1"), ("donor", "dog-1")])
def test_a_picture_or_a_sound_that_may_not_be_passed_on_is_refused(free: Dataset, who: str, clip_id: str) -> None:
    free.assert_refused(
        "package", f"{who}_may_be_passed_on", lambda world: world.edit("aligned", clip_id, licence="CC BY-NC 4.0, Ada")
    )


def test_the_hints_name_what_can_help(free: Dataset) -> None:
    promises = {promise.name: promise for promise in suite_of("package").promises(free.params)}
    for who in ("base", "donor"):
        assert "dvc repro" in promises[f"{who}_may_be_passed_on"].hint
        assert "verify" in promises[f"{who}_may_be_passed_on"].hint
    assert "package.licences" in promises["config_has_rows"].hint
    assert "acquire more" in promises["config_has_rows"].hint
