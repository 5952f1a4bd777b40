"""The doctor finds what is missing and says what to do."""

import io
import os
from contextlib import redirect_stdout
from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.requirements import Requirement

from mma_bench import doctor, extras
from mma_bench.cli import main
from mma_bench.errors import MmaBenchError


@pytest.mark.slow
def test_a_sound_environment_can_do_every_job(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_NEEDED_GB", 0)
    result = CliRunner().invoke(main, ["doctor"])
    assert result.exit_code == 0, result.output
    lines = result.output.splitlines()[: len(doctor.CHECKS)]
    assert all(line.startswith("ok ") or "only needed" in line for line in lines), result.output
    (able,) = [line for line in result.output.splitlines() if line.startswith("you can: ")]
    assert able == f"you can: {'; '.join(job.words for job in doctor.JOBS)}"
    assert "you cannot" not in result.output


def test_each_extra_has_a_line_and_each_job_a_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    there = extras._installed
    monkeypatch.setattr(extras, "_installed", lambda name: None if name in ("dvclive", "mlcroissant") else there(name))
    checks = {name: doctor.CHECKS[name] for name in ("base", *extras.EXTRAS)}
    result = capture(checks)
    assert result.count("\n-  ") == 2
    assert "-        train        not installed: dvclive\n" in result
    assert "you cannot: train, because train is missing: pip install 'mma-bench[train]'\n" in result
    assert "you cannot: publish, because publish is missing: pip install 'mma-bench[publish]'\n" in result
    assert "you can: evaluate through a server, score and report; build; " in result


def capture(checks: dict[str, doctor.Check]) -> str:
    """What the doctor prints; it must not end with an error."""
    with redirect_stdout(io.StringIO()) as printed:
        doctor.main(checks)
    return printed.getvalue()


def test_what_is_absent_and_not_needed_is_not_said_to_be_in_place(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(doctor, "_javascript_runtimes", list)
    result = capture({name: doctor.CHECKS[name] for name in ("youtube", "params")})
    assert "-        youtube      no JavaScript runtime" in result
    assert "-        params       no params.yaml here" in result
    assert "ok " not in result
    assert "you cannot" not in result


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
    monkeypatch.setattr(
        extras, "requirements", lambda extra="": (Requirement("no-such-package>=1"), Requirement("click>=99"))
    )
    with pytest.raises(MmaBenchError, match=r"no-such-package is missing; click .*, needed >=99"):
        doctor.check_base()
    with pytest.raises(extras.MissingExtra, match="not installed: no-such-package"):
        doctor.check_extra("build")


def test_a_job_that_only_lacks_a_program_ends_with_1_and_the_others_still_run(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "params.yaml").write_text("workers: two\n")
    monkeypatch.chdir(tmp_path)
    checks = {"params": doctor.check_params, "git": doctor.check_git}
    with pytest.raises(SystemExit) as ended:
        doctor.main(checks)
    assert ended.value.code == 1
    printed = capsys.readouterr().out
    assert "MISSING  params" in printed
    assert "ok       git" in printed
    assert "you cannot: build, because params is missing" in printed


def test_an_unwritable_cache_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("MMA_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(MmaBenchError, match="cannot be written"):
        doctor.check_disk()
