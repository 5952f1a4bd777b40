"""The parts of yt-dlp's info dict that are used, validated."""

from typing import Any

from pydantic import BaseModel, ValidationError

from mma_bench.errors import Retryable
from mma_bench.settings import problems


class Format(BaseModel):
    """A media file of a video: its sight, its sound or both."""

    url: str
    format_id: str | None = None
    http_headers: dict[str, str] | None = None


class Video(BaseModel):
    """A video.

    Attributes:
        is_live: Whether it is a live stream.
        duration: In seconds.
        formats: The chosen files: one with sight and sound, or one with sight and one with sound. None of a live
            stream need be known.
    """

    is_live: bool | None = None
    duration: float | None = None
    formats: list[Format]


def read_video(info: Any, page: str) -> Video:
    """Validate an info dict.

    Args:
        info: What `YoutubeDL.extract_info` returned.
        page: What the video is called in errors.

    Raises:
        Retryable: `unclassified` if the dict has another form; names the key.
    """
    info = info or {}
    # A single file with sight and sound is described by the info dict itself.
    chosen = info.get("requested_formats") or ([] if info.get("is_live") else [info])
    try:
        return Video.model_validate({**info, "formats": chosen})
    except ValidationError as error:
        raise Retryable("unclassified", f"{page}: {problems(error)[0]}") from None
