"""Remedies against plain forward passes and numbers computed by hand, on tiny checkpoints with strong weights."""

import atexit
import math
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mma_bench.errors import ConfigError
from mma_bench.evaluation.asking import described
from mma_bench.evaluation.attention.observe import Observer
from mma_bench.models import load_config, open_engine
from mma_bench.models.contracts import Answer, Prompt
from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.inputs import ClipInputs, PromptInputs
from mma_bench.models.omni.remedies.contrastive import contrast
from mma_bench.models.omni.remedies.fork_merge import merged
from mma_bench.models.omni.remedies.steering import Biased
from mma_bench.models.omni.token_groups import AUDIO, TEXT, VIDEO, group_tokens
from mma_bench.schema import Modality
from mma_bench.training.miniature.checkpoint import Sizes, make_checkpoint
from tests.mma_bench.models.omni.omni_plain import OPTIONS, SETTINGS, checkpoint, clip, task

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SEEN = "Which class best describes the visual content of this video? Cat or Dog."
HEARD = "Which class best describes the audio content of this video? Cat or Dog."
QUESTIONS: tuple[Modality, ...] = ("visual", "audio")
LAYERS = 3


@cache
def folder() -> str:
    """A checkpoint whose weights are large enough that clip, question and every layer matter."""
    made = Path(tempfile.mkdtemp(prefix="strong-omni-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return str(make_checkpoint(made, sizes=Sizes(std=0.2, layers=LAYERS)))


@cache
def loaded() -> tuple[Any, Any]:
    """In double precision: in single, processors and batches differ by more than what is asserted."""
    plain = OmniEngine(OmniSettings(checkpoint=folder(), **SETTINGS))
    return plain._reader._thinker.double(), plain._processor


def engine(**settings: Any) -> OmniEngine:
    return OmniEngine(OmniSettings(checkpoint=folder(), **SETTINGS, **settings), loaded=loaded())


def prompts() -> list[Prompt]:
    made = []
    for question, text in zip(QUESTIONS, (SEEN, HEARD), strict=True):
        made.append(Prompt(f"{question}.generate", text, question=question, max_new_tokens=6))
        made.append(Prompt(f"{question}.sampled", text, question=question, max_new_tokens=6, temperature=1.0, seed=3))
        made.append(Prompt(f"{question}.score", text, "score", OPTIONS, question=question, prior=True))
    return made


def answers(condition: str = "aligned", **settings: Any) -> list[Answer]:
    return engine(**settings).answer([task(*prompts(), condition=condition)])[0]


def logprobs(found: list[Answer]) -> list[float]:
    return [value for answer in found for value in (answer.logprobs or {}).values()]


def texts(found: list[Answer]) -> list[str | None]:
    assert not [answer.error or answer.unsupported for answer in found if answer.error or answer.unsupported]
    return [answer.text for answer in found]


def first_token(**settings: Any) -> dict[Modality, torch.Tensor]:
    """The logits of the first token of the answer, by question: as the engine computes and combines them."""
    made, found = engine(**settings), {}
    prepared = made.prepare(task(*prompts()))
    assert isinstance(prepared.clip, ClipInputs)
    groups = group_tokens(prepared.clip.ids, made._config)
    for question, inputs in zip(QUESTIONS, prepared.prompts[::3], strict=True):
        assert isinstance(inputs, PromptInputs)
        branches = made._remedy.branches(groups, question) if made._remedy else None
        found[question] = _read(made, prepared.clip, inputs, branches)
    return found


def _read(made: OmniEngine, clip: ClipInputs, inputs: PromptInputs, branches: Any) -> torch.Tensor:
    reader, kept = made._reader, []

    def keep(logits: torch.Tensor) -> torch.Tensor:
        combined = branches.scored(logits) if branches else logits
        kept.append(combined[0, 0])
        return combined

    if branches is None:
        read = reader.read(reader.read_clip(clip), inputs.ids[:-1])
        reader.score(read, inputs.ids[-1], [[5]], combine=keep)
        return kept[0]
    with branches.clip():
        head = reader.read_clip(clip)
    with branches.text():
        reader.score(reader.read(head, inputs.ids[:-1]), inputs.ids[-1], [[5]], combine=keep)
    return kept[0]


def eager(
    question: Modality, hidden: int | None = None, *, bias: float = 0.0, entering: dict[int, torch.Tensor] | None = None
) -> tuple[torch.Tensor, list[torch.Tensor], torch.Tensor]:
    """One plain pass of an eager model with masks written by hand.

    Args:
        question: What is asked.
        hidden: The group that no token attends to.
        bias: Added to the attention logits of the asked sense, for the tokens after the clip.
        entering: Layer, from 0 → hidden states that enter it; the number of layers is the final norm.

    Returns:
        Logits of the answer's first token; the hidden states that entered each layer and the norm; groups.
    """
    made = engine()
    prepared = made.prepare(task(*prompts()))
    assert isinstance(prepared.clip, ClipInputs)
    inputs = prepared.prompts[3 * QUESTIONS.index(question)]
    assert isinstance(inputs, PromptInputs)
    own = loaded()[0]
    model = type(own).from_pretrained(folder(), attn_implementation="eager").double().eval()
    whole = torch.tensor([[*prepared.clip.ids, *inputs.ids]])
    groups, length = group_tokens(whole, model.config)[0], whole.shape[1]
    mask = torch.zeros(length, length, dtype=torch.float64)
    mask[len(prepared.clip.ids) :, groups == (VIDEO, AUDIO)[QUESTIONS.index(question)]] = bias
    closed = ~torch.ones(length, length, dtype=torch.bool).tril()
    closed |= torch.zeros(length, dtype=torch.bool) if hidden is None else groups == hidden
    mask = mask.masked_fill(closed, torch.finfo(torch.float32).min)[None, None]
    states: list[torch.Tensor] = []

    def put(number: int, arguments: Any, named: Any) -> Any:
        states.append((entering or {}).get(number, arguments[0]))
        return (states[-1], *arguments[1:]), named | ({"attention_mask": mask} if number < LAYERS else {})

    text = model.model.language_model
    for number, module in enumerate([*text.layers, text.norm]):
        module.register_forward_pre_hook(lambda _, *given, number=number: put(number, *given), with_kwargs=True)
    tensors = {**prepared.clip.tensors, "input_ids": whole, "attention_mask": torch.ones_like(whole)}
    with torch.inference_mode():
        logits: torch.Tensor = model(**tensors, use_audio_in_video=True).logits[0, -1]
    return logits, states, groups


def close(one: torch.Tensor, other: torch.Tensor, tolerance: float) -> bool:
    return float((one - other).abs().max()) <= tolerance * max(1.0, float(other.abs().max()))


REMEDIES = [
    {"remedy": "contrastive", "strength": 1.0},
    {"remedy": "steering", "strength": 3.0},
    {"remedy": "fork_merge", "fork_layers": 2},
]
NEUTRAL = [
    {"remedy": "contrastive", "strength": 0.0},
    {"remedy": "steering", "strength": 0.0},
    {"remedy": "fork_merge", "fork_layers": 0},
]


@pytest.mark.parametrize("settings", NEUTRAL)
def test_at_zero_a_remedy_is_the_plain_model(settings: dict[str, Any]) -> None:
    for question, logits in first_token(**settings).items():
        assert close(logits, first_token()[question], 1e-6)
    found, plain = answers(**settings), answers()
    assert texts(found) == texts(plain)
    assert logprobs(found) == pytest.approx(logprobs(plain), abs=1e-4)
    assert [answer.prior_logprobs for answer in found] == [answer.prior_logprobs for answer in plain]


@pytest.mark.parametrize("settings", REMEDIES)
def test_a_remedy_changes_the_answers_and_leaves_nothing_behind(settings: dict[str, Any]) -> None:
    plain = answers()
    found = answers(**settings)
    assert max(abs(one - other) for one, other in zip(logprobs(found), logprobs(plain), strict=True)) > 1e-3
    assert answers(**settings) == found
    assert answers() == plain  # the same thinker


@pytest.mark.parametrize("question", QUESTIONS)
def test_the_contrast_is_that_of_two_plain_passes(question: Modality) -> None:
    whole, without = eager(question)[0], eager(question, VIDEO if question == "visual" else AUDIO)[0]
    assert not close(whole, without, 1e-2)
    found = first_token(remedy="contrastive", strength=1.5)[question]
    assert close(found, 2.5 * whole - 1.5 * without, 1e-4)


@pytest.mark.parametrize("question", QUESTIONS)
def test_steering_is_a_bias_in_a_plain_pass(question: Modality) -> None:
    found = first_token(remedy="steering", strength=2.0)[question]
    assert close(found, eager(question, bias=2.0)[0], 1e-4)
    assert not close(found, eager(question)[0], 1e-2)


@pytest.mark.parametrize("layers", [1, 2, LAYERS])
@pytest.mark.parametrize("question", QUESTIONS)
def test_merging_continues_two_plain_passes_in_one(question: Modality, layers: int) -> None:
    _, sight, groups = eager(question, AUDIO)
    _, hearing, _ = eager(question, VIDEO)
    joined = (sight[layers] + hearing[layers]) / 2
    joined[0, groups == VIDEO] = sight[layers][0, groups == VIDEO]
    joined[0, groups == AUDIO] = hearing[layers][0, groups == AUDIO]
    wanted = eager(question, entering={layers: joined})[0]
    found = first_token(remedy="fork_merge", fork_layers=layers)[question]
    assert close(found, wanted, 1e-4)
    assert not close(found, eager(question)[0], 1e-2)


def test_merging_keeps_each_sense_of_its_branch_and_takes_the_mean_of_the_rest() -> None:
    hidden = torch.tensor([[[1.0], [2.0], [3.0]], [[10.0], [20.0], [30.0]]])
    one = merged(hidden, torch.tensor([VIDEO, AUDIO, TEXT]))
    assert one.tolist() == [[[1.0], [20.0], [16.5]]] * 2


def test_contrasted_logits_by_hand() -> None:
    whole, without = [2.0, 1.0, 0.0, -1.0], [2.0, 0.0, 1.0, -5.0]
    logits = torch.tensor([[whole], [without]])
    assert contrast(logits, 1.0, 0.0).tolist() == [[[2.0, 2.0, -1.0, 3.0]]]
    assert contrast(logits, 0.5, 0.0).tolist() == [[[2.0, 1.5, -0.5, 1.0]]]
    # exp(-1) = 0.37 and exp(-2) = 0.14 of the largest probability are above 0.1, exp(-3) = 0.05 is not.
    assert contrast(logits, 1.0, 0.1).tolist() == [[[2.0, 2.0, -1.0, -math.inf]]]
    assert contrast(logits, 1.0, 0.2).tolist() == [[[2.0, 2.0, -math.inf, -math.inf]]]
    assert contrast(logits, 1.0, 1.0).tolist() == [[[2.0, -math.inf, -math.inf, -math.inf]]]


FLOATS = st.lists(st.floats(-20, 20, width=32), min_size=5, max_size=5)


@given(FLOATS, FLOATS, st.floats(0, 4), st.floats(0, 1), st.floats(-5, 5))
def test_what_a_contrast_promises(
    whole: list[float], without: list[float], strength: float, cut_off: float, moved: float
) -> None:
    logits = torch.tensor([whole, without], dtype=torch.float64)
    chances = contrast(logits, strength, cut_off).softmax(-1)
    assert torch.isfinite(chances).all()  # the most likely token can always be chosen
    assert contrast(logits, strength, 1.0).softmax(-1)[0, whole.index(max(whole))] > 0
    # Logits are meant up to a constant, in each branch.
    shifted = logits + torch.tensor([[0.0], [moved]], dtype=torch.float64)
    torch.testing.assert_close(contrast(shifted, strength, cut_off).softmax(-1), chances)
    # Equal branches have nothing to contrast.
    same = logits[:1].expand(2, -1)
    torch.testing.assert_close(contrast(same, strength, 0.0).softmax(-1), logits[:1].softmax(-1))


class _Layer(torch.nn.Module):
    """What transformers' attention functions read of a layer."""

    is_causal = True
    num_key_value_groups = 1
    layer_idx = 0


@given(st.integers(0, 2**32 - 1), st.floats(0, 5), st.sampled_from(["none", "bool", "additive"]))
def test_steered_rows_sum_to_1_and_shift_the_odds_by_exp_of_strength(seed: int, strength: float, kind: str) -> None:
    draw = torch.Generator().manual_seed(seed)
    heads, queries, keys = 2, 3, 7
    query, key = (torch.randn(1, heads, n, 4, generator=draw) for n in (queries, keys))
    value = torch.eye(keys)[None, None].expand(1, heads, -1, -1)  # so that the output is the row of attention
    asked = torch.tensor([False, True, True, False])  # of the clip; what follows is text
    visible = torch.ones(queries, keys, dtype=torch.bool).tril(keys - queries)
    added = torch.zeros(queries, keys).masked_fill(~visible, torch.finfo(torch.float32).min)
    mask = {"none": None, "bool": visible[None, None], "additive": added[None, None]}[kind]

    def rows(bias: float) -> torch.Tensor:
        steered = Biased(bias * asked[None].float())
        steered.begin(keys)
        return steered(_Layer(), query, key, value, mask, scaling=0.5, dropout=0.0)[0].transpose(1, 2)

    plain, found = rows(0.0), rows(strength)
    by_hand = ((query @ key.transpose(2, 3)) * 0.5 + added).softmax(-1)
    torch.testing.assert_close(plain, by_hand)
    torch.testing.assert_close(found.sum(-1), torch.ones(1, heads, queries))
    share = plain[..., 1:3].sum(-1)
    times = math.exp(strength)
    torch.testing.assert_close(found[..., 1:3].sum(-1), share * times / (1 - share + share * times))
    # Within the asked sense, and among the rest, proportions stay.
    torch.testing.assert_close(found[..., 1] * plain[..., 2], found[..., 2] * plain[..., 1])
    torch.testing.assert_close(found[..., 0] * plain[..., 3], found[..., 3] * plain[..., 0])


def test_steering_shifts_a_row_as_computed_by_hand() -> None:
    query, key = torch.zeros(1, 1, 1, 2), torch.zeros(1, 1, 4, 2)
    steered = Biased(math.log(3) * torch.tensor([[0.0, 1.0]]))
    steered.begin(4)
    row = steered(_Layer(), query, key, torch.eye(4)[None, None], None, scaling=1.0, dropout=0.0)[0]
    assert row.flatten().tolist() == pytest.approx([1 / 6, 3 / 6, 1 / 6, 1 / 6])


def of(question: Modality, found: list[Answer]) -> list[Answer]:
    return [answer for answer in found if answer.key.startswith(question)]


@pytest.mark.parametrize("settings", REMEDIES)
def test_without_tokens_of_the_sense_the_plain_model_answers(settings: dict[str, Any]) -> None:
    found, plain = answers("audio_dropped", **settings), answers("audio_dropped")
    assert of("audio", found) == of("audio", plain)
    # Fork-merge has nothing to fork; the others work on the picture.
    assert (found == plain) is (settings["remedy"] == "fork_merge")


@pytest.mark.parametrize("settings", REMEDIES)
def test_black_frames_are_a_picture_like_any_other(settings: dict[str, Any]) -> None:
    black = task(*prompts(), video=clip(0, black=True))
    found, plain = engine(**settings).answer([black])[0], engine().answer([black])[0]
    texts(found)
    assert logprobs(of("visual", found)) != pytest.approx(logprobs(of("visual", plain)), abs=1e-3)


@pytest.mark.parametrize("settings", REMEDIES[:2])
def test_a_prompt_that_asks_about_no_sense_is_not_supported(settings: dict[str, Any]) -> None:
    asked = task(Prompt("fit", "Do picture and sound fit?"), *prompts()[:1])
    fit, seen = engine(**settings).answer([asked])[0]
    assert fit.unsupported is not None
    assert "question about the picture or the sound" in fit.unsupported
    assert seen.text is not None


def test_fork_merge_does_not_need_to_know_what_is_asked() -> None:
    asked = task(Prompt("fit", "Do picture and sound fit?"))
    assert engine(**REMEDIES[2]).answer([asked])[0][0].text is not None


@pytest.mark.parametrize("settings", REMEDIES)
def test_an_answer_does_not_depend_on_the_other_prompts_or_their_order(settings: dict[str, Any]) -> None:
    made, asked = engine(**settings), prompts()
    together = made.answer([task(*reversed(asked))])[0][::-1]
    assert together == [made.answer([task(prompt)])[0][0] for prompt in asked]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"remedy": "contrastive"}, "needs strength"),
        ({"remedy": "steering"}, "needs strength"),
        ({"remedy": "fork_merge"}, "needs fork_layers"),
        ({"strength": 1.0}, "strength is only for the remedy contrastive or steering"),
        ({"remedy": "steering", "strength": 1.0, "cut_off": 0.2}, "cut_off is only for the remedy contrastive"),
        ({"remedy": "contrastive", "strength": -1.0}, "strength"),
        ({"remedy": "contrastive", "strength": 1.0, "cut_off": 1.5}, "cut_off"),
        ({"remedy": "contrastive", "strength": 1.0, "attention": "eager"}, "needs attention: sdpa"),
        ({"remedy": "tuning", "strength": 1.0}, "remedy"),
        ({"remedy": "fork_merge", "fork_layers": 99}, "the model has 3 layers"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        open_engine(folder(), overrides={**SETTINGS, **settings})


def test_other_engines_and_architectures_refuse_a_remedy() -> None:
    with pytest.raises(ConfigError, match="engine random, which cannot apply the remedy steering"):
        open_engine("random", overrides={"remedy": "steering", "strength": 1.0})
    with pytest.raises(ConfigError, match="not available for the architecture qwen3_omni_moe"):
        open_engine(str(checkpoint("qwen3_omni")), overrides={**SETTINGS, "remedy": "steering", "strength": 1.0})


def test_attention_is_not_observed_under_a_remedy() -> None:
    with pytest.raises(ConfigError, match="under which attention is not observed"):
        Observer(engine(**REMEDIES[1]))


def test_a_run_is_identified_by_its_remedy_and_without_one_as_before() -> None:
    plain, contrasted = load_config(folder()), load_config(folder(), overrides=REMEDIES[0])
    assert described("transformers", plain.settings) == {"settings": {"engine": "transformers", "checkpoint": folder()}}
    assert described("transformers", contrasted.settings)["settings"].items() >= REMEDIES[0].items()
