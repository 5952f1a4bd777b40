"""Word lists of the parser, casefolded; `SOUNDS` are in the form of `names.singular`."""

from collections.abc import Mapping
from typing import Final


def word_set(text: str) -> frozenset[str]:
    """The whitespace-separated words."""
    return frozenset(text.split())


ARTICLES: Final = word_set("a an the some his her their its my your our this that these those")

NEGATORS: Final = word_set(
    """
    no not never neither nor none nothing nobody cannot cant dont doesnt didnt isnt arent wasnt werent couldnt wont
    without lack lacks lacking lacked absent absence missing fail fails failed failing doubt doubtful unable
    unlikely impossible hardly barely scarcely exclude excludes excluded excluding incorrect false wrong deny denies
    denied silent inaudible invisible hidden unseen unheard mistaken mistake zero non refuse inappropriate
    """
)
# A mention next to one of these is neither affirmed nor denied.
UNSETTLED: Final = word_set(
    """
    whether if unsure uncertain wonder wondering except besides apart aside unless resembles resembling imitating
    imitates imitate imitation mimicking mimics pretending dressed statue sculpture costume expected expect
    expecting supposed caption captions captioned claims claimed asked asks misleading told said user
    """
)

# Filler words, allowed next to a word of SOUNDS or "no sound".
FILLERS: Final = word_set(
    """
    a an the some any this that these those it its i we you he she they there here which what who my your our his
    her is are was were be been being am isn't aren't wasn't has have had having do does did don't doesn't didn't
    can could can't cannot couldn't may might will would should must seems seem appears appear sounds sound sounding
    identifiable recognizable meaningful discernible audio noise noises video clip recording track content image
    images picture frame frames scene footage file segment screen of in on at to from with for by as and or both all
    only just very really quite clearly clear distinct loud soft low high deep faint quiet distant nearby short long
    single repeated several many multiple continuous sudden heard hear hears hearing audible see seen sees seeing
    visible shown shows show showing detect detected detectable present presented provided given made make makes
    making produced playing played play plays like likely probably most possibly perhaps maybe think believe guess
    say describe described describes description best class category option answer label classes options categories
    choices listed offered above following labels match matches fit fits apply applies correspond corresponds final
    correct right background foreground outside inside whole entire entirely completely totally fully so therefore
    thus hence then now well also too even another other something complete total absolute utter dead throughout
    remains it's there's that's i'm i'd i've however unfortunately indeed though during dominant main primary
    features featuring feature contains contain containing consists consist based because since sure okay ok yes
    yeah not no none n't visual modality
    """
)
# Besides fillers, the words of clauses that paraphrase "None of the above".
NOTHING_PERCEIVED: Final = word_set("anything without unable cannot hasn't")
EMPTY: Final = word_set("none nothing silence silent mute muted soundless black blank")

# A clause with one of these is independent; without, it continues the preceding list.
VERBS: Final = word_set(
    """
    is are was were has have had hear hears see sees show shows sounds sound looks seems can could there it it's
    this i i'm we he she they there's that's that just only rather merely simply answer class appears contains
    features
    """
)

# Sounds with many sources, and ambiguous short words: they name a class only in a clause that names nothing else, so `a
# loud roar` does and `the crowd roars` does not. In the singular.
SOUNDS: Final = word_set(
    """
    roar roaring howl howling honk honking bark bay crackle crackling pop burst boom slam snort whimper growl hoot
    coo patter trickle gush dribble toot chink clink shatter eruption gobble squawk cluck croak caw yip tick
    underground metro sampler key fan camera zip till auto step brass string engine blast shooting shoot fry driving
    chop scratching keyboard skidding propeller turntable mew chirp
    """
)

# Objects in an action: the class on the left does not count if one on the right is named with it.
_ANIMALS: Final = word_set("Bird Canidae Cat Cattle Fowl Frog Goat Horse Pig Roaring_cats Rodents")
YIELDS: Final[Mapping[str, frozenset[str]]] = {
    "Walk": _ANIMALS,
    "Glass": word_set("Pour Stir"),
    "Cutlery": word_set("Stir Chopping_food Frying_food"),
    "Keyboard_musical": word_set("Typing"),
    "Keys_jangling": word_set("Typing Keyboard_musical"),
    "Fire": word_set("Frying_food"),
}

# Before or after a name these change its meaning: a toy dog, dog food.
MAKES_OTHER_BEFORE: Final = word_set(
    """
    toy hot stuffed plush robot robotic inflatable rubber teddy plastic fried roasted grilled
    """
)
MAKES_OTHER_AFTER: Final = word_set(
    """
    food foods toy toys house cage collar leash station park pad paper box case cover handle knob shop store owner
    owners bag trailer costume mask statue sculpture poster sticker logo emoji bowl litter tag soup sandwich salad
    curry coat jacket boots syrup medicine trainer tattoo skin leather meat milk cheese fur hair brush stool bench
    strap tripod feeder seed seeds lover lovers alarm pepper school teacher lesson museum shelter breeder
    """
)
