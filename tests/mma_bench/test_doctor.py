"""The doctor finds what is missing and says what to do."""

import os
from pathlib import Path

import pytest
from click.testing import CliRunner

from mma_bench import doctor
from mma_bench.cli import main
from mma_bench.errors import MmaBenchError


@pytest.mark.slow
def test_a_sound_environment_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_NEEDED_GB", 0)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    assert result.output.count("ok ") == len(doctor.CHECKS)


def test_without_programs_each_check_says_what_to_type(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MmaBenchError, match="no program `ffmpeg`") as raised:
        doctor.check_ffmpeg()
    assert "apt-get install -y ffmpeg" in str(raised.value)
    with pytest.raises(MmaBenchError, match="no program `git`"):
        doctor.check_git()


def test_an_ffmpeg_without_encoders_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    program = tmp_path / "ffmpeg"
    program.write_text("#!/bin/sh\necho ' A..... aac  AAC'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}/bin")
    with pytest.raises(MmaBenchError, match="has no encoder libx264"):
        doctor.check_ffmpeg()


def test_a_missing_and_an_old_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.importlib.metadata, "requires", lambda _: ["no-such-package>=1", "click>=99"])
    with pytest.raises(MmaBenchError, match=r"no-such-package is missing; click is .*, needed >=99"):
        doctor.check_packages()


def test_a_failed_check_ends_with_1_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text("workers: two\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        doctor.main((doctor.check_params, doctor.check_git))
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "MISSING  params" in printed
    assert "ok       git" in printed


def test_an_unwritable_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMA_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MmaBenchError, match="cannot be written"):
        doctor.check_disk()
