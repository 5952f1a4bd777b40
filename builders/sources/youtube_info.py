"""Which rendition yt-dlp is to choose, and the used parts of its info dict, validated."""

from typing import Any, Final

from pydantic import BaseModel, ValidationError

from mma_bench.errors import Retryable
from mma_bench.settings import problems

# Only codecs that fit into MP4 without re-encoding. `?` accepts formats without a stated codec.
_FILE: Final = "[protocol~='^https?$'][vcodec~=?'^(none|avc|h264|hev|hvc|vp0?9|av01)']"
# yt-dlp's marks: of a format that lasts less than half as long as the video, of the original language and the default.
_UNDAMAGED: Final = "[format_note!*=?DAMAGED]"
_LANGUAGES: Final = ("[language_preference>=10]", "[language_preference>=5]", "")


def format_selector(min_height: int) -> str:
    """Which rendition to take, in yt-dlp's language: one in the original language before a dubbed one, whatever its
    codec, then undamaged before damaged, then with at least `min_height` rows of pixels; one file before two.
    """
    choices = []
    for language in _LANGUAGES:
        for undamaged in (_UNDAMAGED, ""):
            for large in (f"[height>=?{min_height}]", ""):
                choices += [f"b{language}{undamaged}{large}{_FILE}"]
                choices += [f"bv{undamaged}{large}{_FILE}+ba{language}{undamaged}{_FILE}"]
    return "/".join([*choices, f"bv{_FILE}"])


class Format(BaseModel):
    """A media file of a video: its video, its audio or both."""

    url: str
    format_id: str | None = None
    http_headers: dict[str, str] | None = None


class Video(BaseModel):
    """A video.

    Attributes:
        is_live: Whether it is a live stream.
        duration: In seconds.
        formats: The chosen files: one with video and audio, or one with video and one with audio. May be empty for a
            live stream.
    """

    is_live: bool | None = None
    duration: float | None = None
    formats: list[Format]


def read_video(info: Any, page: str) -> Video:
    """Validate an info dict.

    Args:
        info: What `YoutubeDL.extract_info` returned.
        page: The video's name in errors.

    Raises:
        Retryable: `unclassified` if the dict is malformed; names the key.
    """
    info = info or {}
    # A single file with video and audio is described by the info dict itself.
    chosen = info.get("requested_formats") or ([] if info.get("is_live") else [info])
    try:
        return Video.model_validate({**info, "formats": chosen})
    except ValidationError as error:
        raise Retryable("unclassified", f"{page}: {problems(error)[0]}") from None
