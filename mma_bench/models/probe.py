"""Whether a server lets its model see and hear: one question asked without a clip, without the sound, and with both."""

from dataclasses import replace
from typing import Any, Final, NamedTuple

from mma_bench.models.contracts import ClipTask, Prompt, Served

_HEARING: Final = (
    "set `sound` to how the server takes it (input_audio, audio_url, in_video), the last for vLLM with "
    "use_audio_in_video in extra_body"
)
_LONGEST: Final = 200  # characters kept of an answer


class Probe(NamedTuple):
    """What adding the picture, then the sound, changed; None if that cannot be told.

    `by` says what was compared. The number of prompt tokens tells more, if the server counts those of media; else the
    answers are compared, which a model that is not deterministic may change by itself.
    """

    sees: bool | None
    hears: bool | None
    by: str  # "prompt tokens" or "answers"
    prompt_tokens: list[int | None]  # without a clip, without its sound, with both
    answers: list[str]  # likewise, or why there is none; the beginnings
    served_model: str | None  # the name that the server gives to the model

    def problems(self, name: str) -> list[tuple[str, str]]:
        """For each sense that the model lacks, what it means for a run, and a hint."""
        return [
            (
                f"{name} does not {sense}: a clip's {what} changes nothing ({self.by} compared); its answers about the "
                f"{what} will be guesses",
                hint,
            )
            for has, sense, what, hint in (
                (self.sees, "see", "picture", "start the server with video switched on"),
                (self.hears, "hear", "sound", _HEARING),
            )
            if has is False
        ]

    def as_json(self) -> dict[str, Any]:
        return self._asdict()


def probe(engine: Served, task: ClipTask, prompt: Prompt) -> Probe:
    """Ask three times about a clip that has a picture and sound.

    Raises:
        MmaBenchError: The server does not answer; has a hint.
        InvalidInput: The clip cannot be read.
    """
    asked = (None, replace(task, hears=False), replace(task, hears=True))
    answers = [engine.ask_once(about, prompt) for about in asked]
    tokens = [answer.usage.get("prompt_tokens") or None for answer in answers]
    said = [str(answer.text or answer.error or answer.refused)[:_LONGEST] for answer in answers]
    served = answers[-1].usage.get("served_model")
    bare, silent, whole = tokens
    if bare is not None and silent is not None and whole is not None and max(silent, whole) > bare:
        return Probe(silent > bare, whole > silent, "prompt tokens", tokens, said, served)
    first, second, third = (answer.text for answer in answers)
    sees = None if first is None or second is None else first != second
    hears = None if second is None or third is None else second != third
    return Probe(sees, hears, "answers", tokens, said, served)
