"""Whose a video is and on what terms it may be used, as its page says; nothing is guessed.

YouTube lets an uploader mark a video with one licence of Creative Commons, CC BY, and says so in one sentence. Which
version of CC BY that is, the page does not say. Any other sentence, or none, is taken as the uploader's own terms.
"""

import re
from dataclasses import dataclass
from datetime import date
from typing import Any, Final

from mma_bench.builders.sources.folder import LICENCE
from mma_bench.licences import MARKED_CC_BY
from mma_bench.redact import redacted
from mma_bench.visible import is_visible, one_line

_MARKED: Final = re.compile(r"Creative Commons Attribution licen[cs]e \(reuse allowed\)", re.IGNORECASE)
_LONGEST: Final = 300  # characters of a title or a name


@dataclass(frozen=True)
class Credit:
    """A video's licence and author.

    Attributes:
        licence: As the page says it; "" if it says nothing.
        title, uploader: "" if the page has none.
        uploaded: ISO 8601 date, or "".
        url: Of the page.
    """

    video_id: str
    licence: str
    title: str
    uploader: str
    uploaded: str
    url: str

    @property
    def is_cc_by(self) -> bool:
        """Whether the uploader has marked the video with CC BY, and is named, as that licence requires."""
        return _MARKED.fullmatch(self.licence) is not None and is_visible(self.uploader)

    @property
    def terms(self) -> str:
        """What the column `licence` says of a clip of this video."""
        if not self.is_cc_by:
            return LICENCE
        # Again as one line: a list of credits may have been edited, or be of an earlier version.
        title, uploader = one_line(self.title), one_line(self.uploader)
        titled = f'"{title}" ' if is_visible(title) else ""
        uploaded = f", {self.uploaded}" if self.uploaded else ""
        return f"{MARKED_CC_BY} {titled}by {uploader}{uploaded}, {self.url}"


def credit_of(info: Any, video_id: str, page: str) -> Credit:
    """The credit in an info dict of yt-dlp.

    Args:
        info: What `YoutubeDL.extract_info` returned.
        video_id: Of the video.
        page: The address that was asked.
    """
    facts = info if isinstance(info, dict) else {}
    return Credit(
        video_id=video_id,
        licence=_text(facts.get("license")),
        title=_text(facts.get("title")),
        uploader=_text(facts.get("uploader")) or _text(facts.get("channel")),
        uploaded=_date(facts.get("upload_date")),
        url=redacted(page),
    )


def _text(value: Any) -> str:
    """One line, or "" if nothing of it is visible; others may write what they like into a title."""
    text = one_line(value)[:_LONGEST].rstrip() if isinstance(value, str) else ""
    return text if is_visible(text) else ""


def _date(value: Any) -> str:
    match = re.fullmatch(r"(\d{4})(\d{2})(\d{2})", value) if isinstance(value, str) else None
    try:
        return date(*map(int, match.groups())).isoformat() if match else ""
    except ValueError:
        return ""
