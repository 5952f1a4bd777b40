"""The fixtures of `tests.judges`."""

from tests.judges import manifest, params, settings, specialist

__all__ = ["manifest", "params", "settings", "specialist"]
