"""YAMNet in torch against TensorFlow.

`yamnet_reference.csv` holds what TensorFlow 2.21 computed from the same SavedModel: for each patch of a chirp and two
sounds of the sample the eight most probable classes.
"""

import csv
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mma_bench.errors import DataError
from mma_bench.models.specialist.specialist import Specialist
from mma_bench.models.specialist.tf_checkpoint import FloatArray, read_float_variables
from mma_bench.models.specialist.yamnet import Yamnet, mel_matrix

SOUNDS = Path(__file__).parents[4] / "sample" / "sounds"
REFERENCE = Path(__file__).with_name("yamnet_reference.csv")
SILENCE = 494  # YAMNet's class "Silence"


@pytest.fixture(scope="module")
def yamnet(specialist: Specialist) -> Yamnet:
    return Yamnet.load(specialist.yamnet_folder)


def chirp() -> FloatArray:
    """2.5 s from 200 Hz to 3.2 kHz."""
    t = np.arange(40_000) / 16_000
    return (0.4 * np.sin(2 * np.pi * (200 * t + 600 * t * t))).astype(np.float32)


def decoded(name: str) -> FloatArray:
    resampler = av.AudioResampler("flt", "mono", 16_000)
    with av.open(str(SOUNDS / f"{name}.ogg")) as container:
        blocks = [block for frame in [*container.decode(audio=0), None] for block in resampler.resample(frame)]
    return np.concatenate([block.to_ndarray()[0] for block in blocks])


@pytest.mark.parametrize(
    ("sound", "make"),
    [("chirp", chirp), ("gc-cat", lambda: decoded("gc-cat")), ("gc-trumpet", lambda: decoded("gc-trumpet"))],
)
def test_probabilities_are_tensorflows(yamnet: Yamnet, sound: str, make: Callable[[], FloatArray]) -> None:
    with REFERENCE.open(encoding="utf-8", newline="") as stream:
        rows = [row for row in csv.DictReader(stream) if row["sound"] == sound]
    scores = yamnet.scores(make())
    assert len(scores) == 1 + max(int(row["patch"]) for row in rows)
    for row in rows:
        assert scores[int(row["patch"]), int(row["index"])] == pytest.approx(float(row["probability"]), abs=1e-3)
        assert int(row["index"]) in np.argsort(-scores[int(row["patch"])])[:10]


@settings(max_examples=10, deadline=None)
@given(samples=st.integers(0, 60_000))
def test_a_patch_begins_every_half_second_and_none_is_cut(yamnet: Yamnet, samples: int) -> None:
    patches = 1 + max(0, -(-(samples - 15_600) // 7_680))
    mel = yamnet.log_mel(np.zeros(samples, np.float32))
    assert tuple(mel.shape) == (96 + 48 * (patches - 1), 64)


def test_silence_is_heard_as_silence(yamnet: Yamnet) -> None:
    scores = yamnet.scores(np.zeros(32_000, np.float32))
    assert scores.shape == (4, 521)
    assert (scores.argmax(axis=1) == SILENCE).all()
    assert np.delete(scores, SILENCE, axis=1).max() < 0.1


def test_mel_bands_lie_where_the_paper_of_the_model_has_them() -> None:
    weights = mel_matrix()
    hertz = np.linspace(0, 8_000, 257)
    assert weights.shape == (257, 64)
    assert weights[hertz < 125].sum() == 0
    assert weights[hertz > 7_500].sum() == 0
    # Neighbouring triangles add up to 1 between the first and the last peak.
    peaks = weights.argmax(axis=0)
    np.testing.assert_allclose(weights[peaks[0] + 2 : peaks[-1] - 1].sum(axis=1), 1, atol=1e-5)


def test_a_missing_variable_is_named(specialist: Specialist) -> None:
    variables = read_float_variables(specialist.yamnet_folder / "variables" / "variables")
    del variables["layer-1/layer/_func/_yamnet/layer_with_weights-54/bias/.ATTRIBUTES/VARIABLE_VALUE"]
    with pytest.raises(DataError, match="weights-54/bias"):
        Yamnet(variables)
