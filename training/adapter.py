"""Four checks of an adapter; every evaluation with an adapter also runs the first three.

* `keys`: the adapter's weights and the model's adapter parameters match one to one;
* `targets`: all of them are in the text model;
* `effect`: the outputs differ from those without the adapter;
* `merge`: merging it into the weights leaves the outputs unchanged.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.load import AdapterError

# The largest change of a log-likelihood that merging may cause, relative to its magnitude: rounding at the dtype's
# precision (about 6e-8, 5e-4, 4e-3) accumulated over all layers.
TOLERANCE: Final = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


@dataclass(frozen=True)
class Check:
    """A check that passed, with a description of the result."""

    name: str
    said: str


def check(
    adapter: str,
    base: str,
    *,
    revision: str | None = None,
    adapter_revision: str | None = None,
    dtype: str = "auto",
    device_map: str | None = None,
) -> Iterator[Check]:
    """Check an adapter on its base model; yields the passed checks in order.

    Args:
        adapter: A folder or a hub id.
        base: A folder or a hub id.
        revision: Branch, tag or commit of the base on the hub.
        adapter_revision: Branch, tag or commit of the adapter on the hub.
        dtype: Dtype to load the base in; `auto` takes the checkpoint's.
        device_map: As in `from_pretrained`; None takes the GPU if there is one.

    Raises:
        AdapterError: A check fails; names it.
        MmaBenchError: The base or the adapter cannot be loaded.
    """
    settings = OmniSettings.model_validate(
        {
            "checkpoint": base,
            "revision": revision,
            "adapter": adapter,
            "adapter_revision": adapter_revision,
            "dtype": dtype,
            "device_map": device_map,
        }
    )
    engine = OmniEngine(settings)  # runs the first three
    loaded = engine.loaded_adapter
    assert loaded is not None
    yield Check("keys", f"all {loaded.weights} weights are loaded, none missing and none unexpected")
    yield Check("targets", f"all {len(loaded.modules)} adapted modules are in the text model")
    beside = engine.probe()
    with loaded.model.disable_adapter():
        without = engine.probe()
    effect = max(abs(one - other) for one, other in zip(beside, without, strict=True))
    yield Check("effect", f"log-likelihoods of a probe differ by up to {effect:.3g} from those of the base")

    loaded.model.merge_adapter()
    merged = engine.probe()
    engine.close()
    difference = max(abs(one - other) for one, other in zip(beside, merged, strict=True))
    size = max(map(abs, beside))
    bound = TOLERANCE[loaded.dtype] * size
    said = f"merged and unmerged differ by up to {difference:.3g}; the tolerance for {loaded.dtype} is {bound:.3g}"
    if not difference <= bound:  # also true for NaN
        raise AdapterError("merge", adapter, said, hint="check it in float32 with --dtype float32, or train it again")
    yield Check("merge", said)
