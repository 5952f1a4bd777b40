"""From votes to the aligned set: the same on every machine, and only what two people passed."""

import json
import secrets
from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest
import yaml
from click.testing import CliRunner, Result

from mma_bench import layout
from mma_bench.builders import verify
from mma_bench.builders.review.cli import review
from mma_bench.builders.review.export import export
from mma_bench.builders.review.guidelines import VERSION
from mma_bench.builders.review.review_set import Item
from mma_bench.builders.review.store import Store
from mma_bench.builders.review.votes import Vote, record
from mma_bench.config import Params, load_params
from mma_bench.errors import ConfigError, DataError
from mma_bench.schema import ALIGNED, REVIEWS
from mma_bench.tables import read_table
from mma_bench.web import accounts
from mma_bench.web.accounts import Annotator


def cast(store: Store, who: Annotator, item: Item, *, passed: bool) -> None:
    answers = {"object_visible": passed, "audio_pure": passed, "action_dynamic": True, "passed": passed, "note": "n"}
    vote = Vote(vote_id=secrets.token_hex(8), item=item.id, guideline_version=VERSION, **answers)
    record(store, who, vote, offered=frozenset({item.id}))


@pytest.fixture
def judged(store: Store, review_set: list[Item], people: dict[str, Annotator]) -> list[str]:
    """Anna passes all clips, Ben all but the first; both fail the controls. The ids of what both passed."""
    clips = [item for item in review_set if not item.failing]
    for item in review_set:
        cast(store, people["anna"], item, passed=not item.failing)
        cast(store, people["ben"], item, passed=not item.failing and item != clips[0])
    return sorted(item.clip_id for item in clips[1:])


def required(project: Path) -> Params:
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["verify"] |= {"required": True, "reviews": "reviews/reviews.parquet"}
    (project / "params.yaml").write_text(yaml.safe_dump(params))
    return load_params(project / "params.yaml")


def test_only_what_two_people_passed_is_aligned(project: Path, store: Store, judged: list[str]) -> None:
    params = required(project)
    with pytest.raises(ConfigError, match=r"reviews/reviews\.parquet.*, which does not exist"):
        verify.main(params)
    report = export(store, Path("reviews"), 2)
    assert report["decisions"] == {"ok": 11, "split_vote": 1}
    verify.main(params)
    aligned = read_table(layout.ALIGNED, ALIGNED)
    assert sorted(aligned["clip_id"]) == judged
    assert set(aligned["evidence"]) == {"app"}


def test_the_table_gives_the_same_aligned_set_on_another_machine(
    project: Path, store: Store, judged: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    params = required(project)
    first = export(store, Path("reviews"), 2)
    table = Path("reviews/reviews.parquet").read_bytes()
    assert export(store, Path("again"), 2) == first
    assert Path("again/reviews.parquet").read_bytes() == table
    verify.main(params)
    here = layout.ALIGNED.read_bytes()
    there = tmp_path / "there"
    for path in (layout.ACQUIRED, layout.NORMALISED, layout.VERDICTS, Path("reviews/reviews.parquet")):
        (there / path).parent.mkdir(parents=True, exist_ok=True)
        (there / path).write_bytes(path.read_bytes())
    monkeypatch.chdir(there)  # no database, no accounts, no clips
    verify.main(params)
    assert layout.ALIGNED.read_bytes() == here


def test_exported_people_are_anonymous_and_notes_and_controls_are_there(
    project: Path, store: Store, judged: list[str], people: dict[str, Annotator]
) -> None:
    report = export(store, Path("reviews"), 2)
    table = read_table(Path("reviews/reviews.parquet"), REVIEWS)
    assert set(table["annotator"]) == {who.code for who in people.values()}
    assert table.filter(pl.col("is_control")).height == 4
    assert report["votes"] == 24
    written = Path("reviews/reviews.parquet").read_bytes() + Path("reviews/reviews.json").read_bytes()
    assert b"anna" not in written
    assert json.loads(Path("reviews/reviews.json").read_text()) == json.loads(json.dumps(report))


@pytest.mark.slow
def test_a_third_person_decides_only_if_asked_to(
    project: Path, store: Store, judged: list[str], review_set: list[Item]
) -> None:
    third = accounts.add_annotator(store, "carla", "password", adjudicator=True)
    split = next(item for item in review_set if not item.failing and item.clip_id not in judged)
    cast(store, third, split, passed=True)
    params = required(project)
    report = export(store, Path("reviews"), 2)
    assert (report["annotators"], report["overruled"]) == (2, [])
    assert len(report["pairs"]) == 4  # one pair of people, who did not choose what they judge
    verify.main(params)
    assert read_table(layout.ALIGNED, ALIGNED).height == 11
    report = export(store, Path("reviews"), 2, adjudicated=True)
    assert [row["clip_id"] for row in report["overruled"]] == [split.clip_id]
    assert (report["decisions"], report["settled"]) == ({"ok": 11, "split_vote": 1}, {"ok": 12})
    verify.main(params)
    assert read_table(layout.ALIGNED, ALIGNED).height == 12


def run(store: Store, *arguments: str, stdin: str = "") -> Result:
    return CliRunner().invoke(review, [*arguments, "--database", str(store.engine.url)], input=stdin)


@pytest.mark.slow
def test_the_commands_say_what_they_did(project: Path, store: Store, judged: list[str]) -> None:
    told = run(store, "status").output
    assert "12 clips, 2 annotators" in told
    assert "12 clips judged, 2 of 2 controls caught" in told
    assert "decisions: 11 ok, 1 split_vote, 0 too_few_reviews" in told
    assert "passed: anna and ben, 12 clips, Cohen's kappa 0.00" in told.replace("ben and anna", "anna and ben")
    assert "11 ok, 1 split_vote" in run(store, "export").output
    assert Path("reviews/reviews.parquet").is_file()
    made = run(store, "add-annotator", "dora", "--password-stdin", stdin="long enough\n")
    assert made.exit_code == 0
    assert "long enough" not in made.output
    assert accounts.log_in(store, "dora", "long enough", "")
    assert run(store, "add-annotator", "dora", "--reset", stdin="other password\nother password\n").exit_code == 0
    assert accounts.log_in(store, "dora", "other password", "")


def test_export_names_who_missed_controls_and_leaves_them_out_if_asked_to(
    project: Path, store: Store, judged: list[str], review_set: list[Item], people: dict[str, Annotator]
) -> None:
    assert "warning" not in run(store, "export").stderr
    control = next(item for item in review_set if item.failing)
    cast(store, people["ben"], control, passed=True)
    told = run(store, "export")
    assert told.exit_code == 0
    (warning,) = (line for line in told.stderr.splitlines() if line.startswith("warning: "))
    assert warning.startswith("warning: ben missed 1 of 2 control clips, which are wrong on purpose ")
    assert f"({control.clip_id})" in warning
    assert "--without ben" in warning
    written = json.loads(Path("reviews/reviews.json").read_text())
    missed = {row["annotator"]: row["missed"] for row in written["attention"]}
    assert missed == {people["anna"].code: [], people["ben"].code: [control.clip_id]}
    assert written["left_out"] == []

    told = run(store, "export", "--without", "BEN")
    assert "warning" not in told.stderr
    assert "12 votes of 1 people; 12 too_few_reviews" in told.output
    table = read_table(Path("reviews/reviews.parquet"), REVIEWS)
    assert set(table["annotator"]) == {people["anna"].code}
    assert json.loads(Path("reviews/reviews.json").read_text())["left_out"] == [people["ben"].code]


def test_nobody_is_organiser_and_adjudicator(store: Store) -> None:
    arguments = ("add-annotator", "olga", "--password-stdin", "--organiser")
    refused = run(store, *arguments, "--adjudicator", stdin="long enough\n")
    assert refused.exit_code == 2
    assert "choose one" in refused.output
    assert "olga can log in; sees the organiser's page" in run(store, *arguments, stdin="long enough\n").output


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("add-annotator", "../dora", "--password-stdin"), "is not an annotator's name"),
        (("add-annotator", "dora", "--password-stdin"), "the password cannot be used"),
        (("export",), "holds no vote"),
        (("export", "--without", "zoe"), "there is no annotator named 'zoe'"),
        (("status", "--params", "nowhere.yaml"), "nowhere.yaml does not exist"),
        (("serve", "--host", "203.0.113.7", "--port", "0"), "cannot be used"),
        (("serve", "--host", "no such host"), "is not an address"),
    ],
)
def test_a_users_mistake_is_named(project: Path, store: Store, arguments: Sequence[str], complaint: str) -> None:
    result = run(store, *arguments)
    assert isinstance(result.exception, (ConfigError, DataError)), result.output
    assert complaint in str(result.exception)
    assert result.exception.hint is not None
