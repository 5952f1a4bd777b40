"""What annotators are told: the three criteria of appendix B.2, with what passes and what fails.

The wording decides what people answer, so every vote carries the version of the wording that it was cast under.
"""

from dataclasses import asdict, dataclass
from typing import Final

from mma_bench.files import fingerprint


@dataclass(frozen=True)
class Criterion:
    """One of the three questions about a clip.

    Attributes:
        key: Its column in the exported table.
        title: The paper's name.
        question: To be answered with yes or no; `{name}` stands for the clip's class.
        rule: When the answer is yes.
        passes: An example to answer with yes.
        fails: Examples to answer with no.
    """

    key: str
    title: str
    question: str
    rule: str
    passes: str
    fails: str


CRITERIA: Final = (
    Criterion(
        "object_visible",
        "Object visibility",
        "Is the sounding object, {name}, the primary focus of the picture?",
        "The sounding object itself must be seen clearly and must be what the picture is about.",
        "“Car”: the car fills a good part of the frame while its engine is heard.",
        "“Car”: only the road, the dashboard or a far-off dot is seen; the car is hidden or leaves at once.",
    ),
    Criterion(
        "audio_pure",
        "Audio purity",
        "Is the sound clean, and is {name} its dominant event?",
        "The target sound must dominate. Loud background music fails, and so does speech that can be understood, "
        "unless the class itself is about speech.",
        "“Dog”: barking, with faint wind or steps behind it.",
        "“Dog”: barking under a song; a narrator who can be understood; another sound than a dog's.",
    ),
    Criterion(
        "action_dynamic",
        "Action dynamics",
        "Does the picture move, and does the motion belong to the sound?",
        "An action that is seen must correspond to the sound that is heard. Stills, slide shows and objects that do "
        "not move fail.",
        "“Violin”: the bow moves while the notes are heard.",
        "“Violin”: a photo or an album cover under a recording; the player sits still; titles that scroll.",
    ),
)
VERDICT: Final = (
    "Pass a clip only if all three answers are yes. If you cannot decide, answer no and say why in the note."
)

# Any change of a word is another version.
VERSION: Final = fingerprint(VERDICT, *(asdict(criterion) for criterion in CRITERIA))[:12]
