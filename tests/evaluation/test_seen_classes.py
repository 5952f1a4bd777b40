"""The classes that a model was tuned on: a file that cannot be meant is refused, and before a run."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from mma_bench.cli import main
from mma_bench.errors import ConfigError
from mma_bench.evaluation.seen_classes import read_seen_classes
from tests.evaluation.packaged import BASES, packaged_row, write
from tests.evaluation.runs import answers, write_run


def listed(folder: Path, text: str) -> Path:
    path = folder / "seen.txt"
    path.write_text(text)
    return path


def test_classes_are_read_line_by_line(tmp_path: Path) -> None:
    assert read_seen_classes(None) == frozenset()
    assert read_seen_classes(listed(tmp_path, "Cat\n\n Bird \n")) == {"Cat", "Bird"}
    assert read_seen_classes(listed(tmp_path, "Mine\n"), lambda: ["Mine"]) == {"Mine"}  # a dataset of one's own


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", " names no class"),
        (" \n\n", " names no class"),
        ("Cat\nBrid\n", r": 'Brid' is no class of the dataset\n  hint: did you mean Bird\? the classes are"),
        ("Brid\nCta\n", ": 'Brid', 'Cta' are no classes of the dataset"),
    ],
)
def test_a_file_without_a_class_or_with_an_unknown_one_is_refused(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=rf"seen\.txt{said}"):
        read_seen_classes(listed(tmp_path, text))


@pytest.mark.parametrize(("text", "said"), [(None, "does not exist"), ("", "names no class"), ("Brid\n", "no class")])
def test_evaluate_refuses_the_file_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str | None, said: str
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "mma-bench", aligned=[packaged_row(base, "aligned") for base in BASES])
    if text is not None:
        listed(tmp_path, text)
    command = ["evaluate", "--model", "random", "--out", "run", "--seen-classes", "seen.txt"]
    result = CliRunner().invoke(main, command)
    assert result.exit_code == 2, result.output
    assert said in result.output
    assert not Path("run").exists()


def test_score_refuses_a_class_that_no_prompt_names(tmp_path: Path) -> None:
    write_run(tmp_path / "run", answers(4, options=["Bird", "Cat", "Rain", "Bowed_string_instrument", "Mine"]))
    for text, code in (("Mine\n", 0), ("Mien\n", 2)):
        seen = str(listed(tmp_path, text))
        assert CliRunner().invoke(main, ["score", str(tmp_path / "run"), "--seen-classes", seen]).exit_code == code
