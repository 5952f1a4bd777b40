"""The irrelevant text of `long_context` (section 4.1.4, appendix I.4): common English words in random order.

The paper appends 10,000 random tokens and does not say which. Tokens drawn from a model's own vocabulary would be a
different text for each model; here every model reads the same one.

Every word, after a space, is a single token in the vocabularies that could be measured: Qwen's, OpenAI's cl100k_base
and o200k_base, Anthropic's of Claude 2, DeepSeek's, and Mistral's first one of 32,000 tokens. There, 10,000 words are
10,000 tokens. Other vocabularies may need more; every run records the number.

No word names a class or occurs in a question.
"""

import random
from typing import Final

LONG_CONTEXT_WORDS: Final = 10_000  # of a dataset that has the seeds but not the texts

_WORDS: Final = """
about absence accord account achieve across action active actual adapt added address admit adopt advance advice
affair afford after again agency agree ahead allow almost alone along also although always amount analysis ancient
annual apparent appeal apply appoint approach around arrange aspect assist assume attempt attend available avoid
base basic bear become begin behind belief belong below beside better between beyond border boundary broad budget
burden campaign capable capital career case certain chance chapter claim clause college combine come comfort comment
commit company compare complex concept conduct confirm conflict contact control convert core cost council course
cover create critical culture current custom daily date decade decide decline default define degree deliver depth
derive deserve design desire device differ discover discuss dispute doctrine domain doubt during each ease effort
either emerge emphasis enable end engage enjoy enough enter entire entry equal especially essay estimate even event
ever every evidence exact except expect explore extent extreme factor fail fair faith fame far fashion finance find
finish fit focus follow foreign former forward found from full fund gap generate genuine give govern grade grand
grant gross group grow guarantee half handle happen hard have heritage idea identity imply include increase industry
initial inner input instance intend invest invite involve issue itself job join joint journal kind labor lack late
league learn least left legend length level liberty likely link literature little live load local loose lot loyal
main maintain major make manage manner mark material matter maximum maybe measure meet member memory mere method
might minimum mission mix mode modern money moral more most move much mutual nation native nature near need never
normal nothing notice now number object obtain obvious occasion occur offer official often ongoing opinion opposite
order origin other outline overall own package partial particular partly past patent pay peace percent perfect
perhaps person phase plenty policy political poor popular position positive possess possible post potential poverty
praise precise prefer present previous pride prime prior private problem process profile profit program project
promote proper property propose prospect proud provide publish pure purpose pursue put quality quantity quick quote
random rapid rare real reason receive recent recover reform refuse regard region regular reject rely remain remind
remote remove renew repair repeat replace require rescue research resident resist resolve rest restore result retain
retire reveal revenue review reward rich right risk route routine rule safe salary sale sample save scale scheme
school science scope score second sector seek seem sense serious serve service settle several severe share short
since site size slight slow smart solid solution solve some sort source spare special specific spend spirit spread
spring staff stage station stay still stress strict strong struggle study such suggest survive system talent target
task tax teach term then thing today together toll tomorrow tradition transfer transition treat trend trust turn
ultimate union unit unity universal unless update upper useful usual valid various vast very victory virtue volume
vote war warm waste weak wealth weight well west what when whether who whole whose wide win winter wish without
worry worth year yesterday yet young zone
""".split()  # noqa: SIM905 (a list would be a word per line)


def irrelevant_text(seed: int, words: int) -> str:
    """Words drawn independently and uniformly, with spaces between them.

    Args:
        seed: The same seed gives the same text, with any version of Python.
        words: How many; a longer text begins with the shorter one.
    """
    draw = random.Random(seed).random  # noqa: S311 (a seeded text, no secret); Python promises this method's sequence
    return " ".join(_WORDS[int(draw() * len(_WORDS))] for _ in range(words))
