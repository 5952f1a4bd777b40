"""Is an adapter sound? Four checks, the first three of which every evaluation with an adapter makes as well.

* `keys`: every weight of the adapter has its place in the model and the reverse;
* `targets`: they are all in the text model;
* `effect`: the model answers otherwise than without it;
* `merge`: merged into the weights, it answers as it does beside them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from mma_bench.models.omni.engine import OmniEngine, OmniSettings
from mma_bench.models.omni.load import AdapterError

# The most that merging may change a log-likelihood, as a share of the log-likelihoods' size: rounding at the dtype's
# precision (about 6e-8, 5e-4, 4e-3) through all layers.
TOLERANCE: Final = {"float32": 1e-4, "float16": 2e-2, "bfloat16": 1e-1}


@dataclass(frozen=True)
class Check:
    """A check that was passed, and what was found."""

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
    """Check an adapter on its base model; yields what was passed, in order.

    Args:
        adapter: A folder or a hub id.
        base: Likewise.
        revision: Branch, tag or commit of the base on the hub.
        adapter_revision: Likewise of the adapter.
        dtype: What to load the base in; `auto` takes the checkpoint's.
        device_map: As in `from_pretrained`; None takes the GPU if there is one.

    Raises:
        AdapterError: A check is not passed; names it.
        MmaBenchError: The base or the adapter cannot be had.
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
    engine = OmniEngine(settings)  # makes the first three
    loaded = engine.loaded_adapter
    assert loaded is not None
    yield Check("keys", f"all {loaded.weights} weights are loaded, none is missing and none is left over")
    yield Check("targets", f"all {len(loaded.modules)} modules that it changes are in the text model")
    beside = engine.probe()
    with loaded.model.disable_adapter():
        without = engine.probe()
    effect = max(abs(one - other) for one, other in zip(beside, without, strict=True))
    yield Check("effect", f"log-likelihoods of a probe differ by up to {effect:.3g} from the base's")

    loaded.model.merge_adapter()
    merged = engine.probe()
    engine.close()
    difference = max(abs(one - other) for one, other in zip(beside, merged, strict=True))
    size = max(map(abs, beside))
    bound = TOLERANCE[loaded.dtype] * size
    said = f"merged and unmerged differ by up to {difference:.3g}, {bound:.3g} is allowed for {loaded.dtype}"
    if not difference <= bound:  # NaN is not
        raise AdapterError("merge", adapter, said, hint="check it in float32 by --dtype float32; train it again")
    yield Check("merge", said)
