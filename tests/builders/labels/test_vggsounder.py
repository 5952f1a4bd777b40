"""VGGSounder's labels: what they say of a clip, and the published figures on the real metadata."""

from functools import cache
from pathlib import Path

import polars as pl
import pytest

from mma_bench.builders import metadata
from mma_bench.builders.candidates import candidates, decide, rule_of
from mma_bench.builders.labels import vggsounder
from mma_bench.builders.labels.decisions import read_decisions
from mma_bench.builders.labels.segments import read_audioset
from mma_bench.builders.ontology import class_map, load_ontology
from mma_bench.errors import DataError
from mma_bench.evaluation.judges.yardstick import audit_filter, audit_judge
from mma_bench.schema import VERDICTS
from mma_bench.tables import from_rows

CLASSES = {"dog barking": "Canidae", "dog howling": "Canidae", "cat meowing": "Cat", "wind noise": None}
NO_FLAG = {"background_music": False, "static_image": False, "voice_over": False}
SEGMENT = {"video_id": "AbCdEfGhI-_", "start_s": 30.0}
CLIP = {"clip_id": "a", "class_name": "Canidae", **SEGMENT}


def published(*labels: tuple[str, str], **flags: bool) -> pl.DataFrame:
    rows = [{"label": label, "modality": modality, **NO_FLAG, **flags} for label, modality in labels]
    return pl.DataFrame([{"video_id": "AbCdEfGhI-__000030", **row} for row in rows])


def vote(*labels: tuple[str, str], **flags: bool) -> bool | None:
    found = vggsounder.votes(pl.DataFrame([CLIP]), vggsounder.labelled(published(*labels, **flags), CLASSES))
    return found.get("a")


BARK, HOWL, MEOW, WIND = CLASSES


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([(BARK, "AV")], True),
        ([(BARK, "AV"), (HOWL, "AV"), (WIND, "AV")], True),
        ([(BARK, "A")], False),
        ([(BARK, "V")], False),
        ([(BARK, "V"), (HOWL, "A")], False),
        ([(BARK, "AV"), (WIND, "A")], False),
        ([(MEOW, "AV")], None),
        ([(WIND, "AV")], None),
    ],
)
def test_a_clip_passes_if_its_class_and_all_else_is_seen_and_heard(
    labels: list[tuple[str, str]], said: bool | None
) -> None:
    assert vote(*labels) is said


@pytest.mark.parametrize("flag", NO_FLAG)
def test_a_flag_fails_a_clip(flag: str) -> None:
    assert vote((BARK, "AV"), **{flag: True}) is False


@pytest.mark.parametrize("other", [{"video_id": "abcdefghi-_"}, {"start_s": 30.5}, {"start_s": 3.0}])
def test_another_segment_is_another_clip(other: dict[str, object]) -> None:
    people = vggsounder.labelled(published((BARK, "AV")), CLASSES)
    assert vggsounder.votes(pl.DataFrame([{**CLIP, **other}]), people) == {}


def test_what_was_seen_and_heard_is_kept_apart() -> None:
    row = vggsounder.labelled(published((BARK, "V"), (MEOW, "A"), (WIND, "AV")), CLASSES).row(0, named=True)
    assert row == {**SEGMENT, "clean": False, "seen": ["Canidae"], "heard": ["Cat"], "classes": ["Canidae", "Cat"]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": "whistling"}, "label 'whistling' is not in"),
        ({"modality": "X"}, "modality 'X' is unknown"),
        ({"video_id": "short_000030"}, "no start in seconds"),
    ],
)
def test_labels_of_another_form_are_refused(change: dict[str, str], message: str) -> None:
    table = published((BARK, "AV")).with_columns(**{name: pl.lit(value) for name, value in change.items()})
    with pytest.raises(DataError, match=message):
        vggsounder.labelled(table, CLASSES)


@cache
def people() -> pl.DataFrame:
    return vggsounder.read()


@cache
def evaluation_segments() -> tuple[pl.DataFrame, pl.DataFrame]:
    """All evaluation segments of AudioSet and the candidates among them, from the official files."""
    files = metadata.locate()
    ontology = load_ontology(files["ontology.json"])
    classes = class_map(ontology, read_decisions(Path("builders/curation/class_decisions.csv")), 3)
    segments = read_audioset(files["eval_segments.csv"], "eval", classes.nodes.keys())
    kept = candidates(segments, decide(segments.label_sets, rule_of(classes)))
    return segments.rows.select("clip_id", "video_id", "start_s").collect(), kept


def test_the_published_labels_give_the_known_figures() -> None:
    segments, kept = evaluation_segments()
    assert (segments.height, kept.height) == (20_371, 3_518)
    labelled = vggsounder.join_labels(kept, people())
    assert (labelled.height, labelled["clean"].sum()) == (1_501, 656)
    assert people().height == 12_014
    # Of the 656, those with a label that is the candidate's class.
    assert labelled["vote"].value_counts(sort=True).rows() == [(False, 752), (True, 605), (None, 144)]
    own = pl.col("class_name")
    voted = labelled.drop_nulls("vote").select(
        "class_name", seen=pl.col("seen").list.contains(own), heard=pl.col("heard").list.contains(own)
    )
    assert (voted.height, voted["seen"].sum(), voted["heard"].sum()) == (1_357, 1_071, 1_341), "as docs/judges.md says"
    by_class = voted.group_by("class_name").sum()
    assert ((by_class["seen"] >= 20).sum(), (by_class["heard"] >= 20).sum()) == (17, 19), "as docs/judges.md says"
    audit = audit_filter(segments, kept, people())
    assert (audit.labelled, audit.clean) == (1_501, 656)
    assert audit.labelled + audit.dropped_labelled == 5_158
    assert audit.dropped_clean / audit.dropped_labelled == pytest.approx(0.350, abs=5e-4)
    whole = audit.measures[0]
    assert (whole.class_name, whole.precision.n, whole.other) == (None, 1_357, 144)
    assert whole.precision.mean == 605 / 1_357
    assert whole.precision.low is not None
    assert whole.precision.high is not None
    assert whole.precision.low < 605 / 1_357 < whole.precision.high
    assert sum(measure.precision.n for measure in audit.measures[1:]) == whole.precision.n
    assert sum(measure.recall.n for measure in audit.measures[1:]) == whole.recall.n


def test_the_yardstick_of_a_judge() -> None:
    """Four labelled clips: right and kept, right and rejected, wrong and kept, kept but labelled as something else."""
    clips = pl.DataFrame([{**CLIP, "clip_id": name, "start_s": float(at)} for at, name in enumerate("abcd")])
    said = {"a": (BARK, "AV"), "b": (HOWL, "AV"), "c": (BARK, "A"), "d": (MEOW, "AV")}
    table = pl.concat(
        published(label).with_columns(video_id=pl.lit(f"AbCdEfGhI-__00000{at}"))
        for at, label in enumerate(said.values())
    )
    labelled = vggsounder.join_labels(clips, vggsounder.labelled(table, CLASSES))
    status = {"a": "ok", "b": "rejected", "c": "ok", "d": "ok", "unlabelled": "ok"}
    verdicts = from_rows([{"clip_id": name, "status": how} for name, how in status.items()], VERDICTS)
    whole, dogs = audit_judge(verdicts, labelled)
    assert (whole.class_name, dogs.class_name) == (None, "Canidae")
    for measure in (whole, dogs):
        assert (measure.precision.mean, measure.precision.n) == (0.5, 2), "a of a and c"
        assert (measure.recall.mean, measure.recall.n) == (0.5, 2), "a of a and b"
        assert measure.other == 1
    assert audit_judge(verdicts.filter(pl.col("clip_id") == "unlabelled"), labelled) == []


def test_each_label_of_vggsounder_has_a_row_that_says_why() -> None:
    path = Path("builders/curation/vggsounder_classes.csv")
    rows = pl.read_csv(path).with_columns(pl.col("class").fill_null(""))
    assert set(rows["label"]) == set(pl.read_csv(vggsounder.locate())["label"])
    assert rows["label"].is_unique().all()
    assert rows.height == 309
    assert (rows["reason"].str.len_chars() > 0).all()
    mapped = set(rows["class"]) - {""}
    with_decision = pl.read_csv("builders/curation/class_decisions.csv").filter(pl.col("decision") == "keep")
    assert mapped < set(with_decision["class"])
    assert rows.filter(pl.col("class") != "").height == 141
    # Names that lead astray: a computer's mouse, a bell on a cow, an engine of anything.
    none = dict(rows.select("label", "class").iter_rows())
    for name in ("mouse clicking", "cattle, bovinae cowbell", "engine accelerating, revving, vroom"):
        assert none[name] == ""
