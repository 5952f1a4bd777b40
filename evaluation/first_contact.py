"""Before the first prompt of a run is put to a server: does it answer, and does its model see and hear?"""

import sys
from pathlib import Path
from typing import Final

from mma_bench.errors import InvalidInput, MmaBenchError
from mma_bench.evaluation.conditions import WITHOUT_THE_CLIP
from mma_bench.files import write_json
from mma_bench.models.contracts import ClipTask, Engine, Served
from mma_bench.models.probe import probe
from mma_bench.schema import Condition
from mma_bench.tables import read_json

# Where an answer says nothing about whether the model sees and hears.
_LACKING: Final = (Condition.AUDIO_REMOVED, Condition.FRAMES_ZEROED, *WITHOUT_THE_CLIP)


class FirstContact:
    """Called with each task that is about to be asked; does nothing for engines without a server.

    The server is checked once per command. What the probe found is recorded once per run, in run.json.

    Args:
        engine: The model under test.
        run: The run's run.json; exists when the first task is asked.

    Raises:
        MmaBenchError: The server cannot be asked; has its words and a hint.
    """

    def __init__(self, engine: Engine, run: Path) -> None:
        self._engine, self._run = engine, run
        self._checked = not isinstance(engine, Served)
        self._probed = self._checked

    def __call__(self, task: ClipTask) -> None:
        if not isinstance(self._engine, Served):
            return
        if not self._checked:
            self._checked = True
            for warning in self._engine.check():
                print(f"WARNING: {warning}", file=sys.stderr)
            self._probed = "probe" in read_json(self._run)
        if self._probed or not task.hears or task.condition in _LACKING:
            return
        self._probed = True
        try:
            about_sound = [prompt for prompt in task.prompts if prompt.question == "audio"]
            found = probe(self._engine, task, (about_sound or task.prompts)[0])
        except (InvalidInput, MmaBenchError) as error:
            print(f"WARNING: whether the model sees and hears is not known: {error}", file=sys.stderr)
            return
        write_json(self._run, {**read_json(self._run), "probe": found.as_json()})
        for problem, hint in found.problems(self._engine.name):
            print(f"WARNING: {problem}\n  hint: {hint}", file=sys.stderr)
