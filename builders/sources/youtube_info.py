"""The used parts of yt-dlp's info dict, validated."""

from typing import Any

from pydantic import BaseModel, ValidationError

from mma_bench.errors import Retryable
from mma_bench.settings import problems


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
