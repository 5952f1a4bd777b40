"""Options of x264 with which it writes the same bytes on every x86 machine.

Its functions for AVX-512 do not compute what those for AVX2 do: of 32 clips of the sample, one came out with other
bytes on a machine that has them. Every x86 machine that polars runs on has AVX2. On other processors, such as ARM, the
bytes may differ.
"""

import platform
from typing import Final

_SAME_EVERYWHERE: Final = {"threads": 1} | ({"asm": "avx2"} if platform.machine() in ("x86_64", "AMD64") else {})


def x264_params(**params: int | str) -> str:
    """The value of FFmpeg's option `x264-params`: these params of x264, in one thread."""
    return ":".join(f"{name}={value}" for name, value in (params | _SAME_EVERYWHERE).items())
