"""The plan of a seed: the controls differ from the tuned run in what they see and in nothing else."""

from itertools import pairwise
from pathlib import Path

import yaml

from mma_bench.models.omni.engine import OmniSettings
from mma_bench.training.miniature.metrics import STATES, run_folder
from mma_bench.training.miniature.seed import ASKED, CORES, HALF, REMEDIES, TUNED, jobs

ROOT = Path(__file__).parents[3]
HOME = Path("data/miniature")


def commands(seed: int = 1) -> dict[str, tuple[str, ...]]:
    return {job.name: job.argv for job in jobs(HOME, seed)}


def option(argv: tuple[str, ...], name: str) -> list[str]:
    return [after for before, after in pairwise(argv) if before == name]


def without(argv: tuple[str, ...], *names: str) -> list[str]:
    return [part for part in argv if not any(name in part for name in names)]


def test_a_control_differs_in_its_conditions_alone() -> None:
    plan = commands()
    tuned = without(plan["tuned"], "seed-1/tuned", "conditions=")
    for control, seen in (("aligned_only", "[aligned]"), ("misaligned_only", "[misaligned]")):
        assert without(plan[control], f"seed-1/{control}", "conditions=") == tuned
        assert f"conditions={seen}" in option(plan[control], "--set")


def test_every_state_is_asked_with_its_own_adapter_after_it_was_made() -> None:
    plan = {job.name: job for job in jobs(HOME, 1)}
    for state, conditions in ASKED.items():
        asked = plan[f"ask-{state}"]
        adapter = option(asked.argv, "--adapter")
        assert adapter == ([f"data/miniature/seed-1/{state}/adapter"] if state in TUNED else [])
        assert asked.needs == (state if state in TUNED else "base",)
        assert option(asked.argv, "--out") == [str(run_folder(HOME, 1, state))]
        assert option(asked.argv, "--conditions") == [",".join(conditions)]
    assert {*STATES, HALF} == set(ASKED) == {"base", *TUNED, *REMEDIES}


def test_a_remedy_differs_from_the_base_in_its_settings_alone() -> None:
    plan = commands()
    for state, settings in REMEDIES.items():
        asked, base = plan[f"ask-{state}"], plan["ask-base"]
        assert set(option(asked, "--set")) - set(option(base, "--set")) == {
            f"{key}={value}" for key, value in settings.items()
        }
        OmniSettings(checkpoint="base", **settings)  # they fit the engine


def test_nothing_of_a_seed_is_shared_with_another() -> None:
    for one, other in zip(commands(1).values(), commands(2).values(), strict=True):
        differing = [(a, b) for a, b in zip(one, other, strict=True) if a != b]
        assert differing
        assert all(a.replace("seed-1", "seed-2").replace("seed=1", "seed=2") in (b, "1") for a, b in differing)


def test_a_job_comes_after_what_it_needs() -> None:
    plan = jobs(HOME, 0)
    for number, job in enumerate(plan):
        assert set(job.needs) <= {earlier.name for earlier in plan[:number]}


def test_only_what_all_others_wait_for_computes_with_more_than_one_thread() -> None:
    first, *others = jobs(HOME, 0)
    assert (first.name, first.threads) == ("base", CORES)
    assert all(job.needs and job.threads == 1 for job in others)


def test_the_pipeline_shows_the_seeds_that_it_runs() -> None:
    stages = yaml.safe_load((ROOT / "training/miniature/dvc.yaml").read_text())["stages"]
    seeds = stages["seed"]["foreach"]
    assert stages["page"]["cmd"].split()[-len(seeds) :] == [str(seed) for seed in seeds]
    assert {f"data/miniature/seed-{seed}" for seed in seeds} <= set(stages["page"]["deps"])
    assert len(seeds) >= 3


def test_every_file_that_a_stage_depends_on_is_there_or_is_made() -> None:
    stages = yaml.safe_load((ROOT / "training/miniature/dvc.yaml").read_text())["stages"]
    for stage in stages.values():
        for path in stage.get("do", stage)["deps"]:
            assert path.startswith("data/miniature/") or (ROOT / path).exists(), path
