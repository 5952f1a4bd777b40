"""Reads media: header facts with limits, decoded frames and sound, packet identities, and the facts of a clip.

Everything here opens only local files, raises `MachineFault` for one that is not there (`missing_file`), and
`InvalidInput` for a bad one:

| reason | raised by | meaning |
|---|---|---|
| `empty_file` | all | the file has no bytes |
| `unreadable` | all | not a media file of a known container, or its index is missing or truncated |
| `truncated` | all but probe | a packet is truncated: the file ends too early |
| `corrupt_stream` | all | a packet cannot be decoded, or a frame is damaged |
| `no_video_stream`, `no_audio_stream` | all | the file lacks the required stream |
| `unknown_codec` | all | no decoder for the stream |
| `too_many_bytes` | probe | the file is larger than the limit |
| `too_many_pixels` | probe | width × height in the header, with square pixels, is over the limit |
| `no_picture_size` | probe | the header gives no picture size, or one that no decoder supports (2^28 pixels) |
| `too_long` | probe | the header's duration is over the limit |
| `no_frames` | decode, facts, pictures, timeline | the video stream decodes to nothing |
| `no_audio_samples` | decode, facts, loudness, timeline | the audio stream decodes to nothing |
| `single_frame` | timeline | the video stream shows one frame |
| `picture_gap` | pictures | no new picture is decoded for too long |
| `frozen` | pictures | the picture stands still for too long |
| `too_large_to_hold` | decode | the decoded array would exceed the memory limit |
| `too_few_packets` | packets | the stream has fewer packets than requested |
"""

from typing import Final

SAMPLE_RATE: Final = 16_000  # Hz: of all mono audio given to a judge or a model
