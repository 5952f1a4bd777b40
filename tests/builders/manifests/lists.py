"""One published list in many forms, and AudioSet's lists cut down to its videos."""

import json
from pathlib import Path
from typing import Any

CAT, DOG, BARK, ANIMAL, VEHICLE = "/m/01yrx", "/m/0bt9lr", "/m/05tny_", "/m/0jbk", "/m/07yv9"
# Clip → video, start, label, split. The videos' ids begin with Y, with -, and as a class's name would.
CLIPS = {
    "Y0aaaaaaaaa_30000": ("Y0aaaaaaaaa", 30.0, "Cat", "test"),
    "-0bbbbbbbbb_0": ("-0bbbbbbbbb", 0.0, "Canidae", "test"),
    "Church_bell_10000": ("Church_bell", 10.0, "Vehicle", "test"),
    "dddddddddd1_20000": ("dddddddddd1", 20.0, "Cat", "train"),
    "eeeeeeeeee1_40000": ("eeeeeeeeee1", 40.0, "Vehicle", "train"),
}
PAIRS = [
    ("Y0aaaaaaaaa_30000", "-0bbbbbbbbb_0"),
    ("-0bbbbbbbbb_0", "Church_bell_10000"),
    ("Church_bell_10000", "Y0aaaaaaaaa_30000"),
    ("dddddddddd1_20000", "eeeeeeeeee1_40000"),
    ("eeeeeeeeee1_40000", "dddddddddd1_20000"),
]
MIDS = {"Cat": CAT, "Canidae": DOG, "Vehicle": VEHICLE}
LISTS = {
    "eval_segments.csv": [
        f'Y0aaaaaaaaa, 30.000, 40.000, "{CAT},{ANIMAL}"',
        f'-0bbbbbbbbb, 0.000, 9.000, "{DOG},{BARK}"',
        f'Church_bell, 10.000, 20.000, "{CAT},{VEHICLE}"',  # the label filter drops it
    ],
    "balanced_train_segments.csv": [f'dddddddddd1, 20.000, 30.000, "{CAT}"'],
    "unbalanced_train_segments.csv": [f'eeeeeeeeee1, 40.000, 50.000, "{VEHICLE}"'],
}


def write_audioset(folder: Path) -> dict[str, Path]:
    """AudioSet's lists, with the clips above only."""
    folder.mkdir(parents=True)
    for name, rows in LISTS.items():
        (folder / name).write_text("".join(f"{row}\n" for row in rows))
    return {name: folder / name for name in LISTS}


def entry(clip: str, **other: Any) -> dict[str, Any]:
    video, start, label, _ = CLIPS[clip]
    return {"youtube_id": video, "start_seconds": start, "end_seconds": _end(clip), "label": label, **other}


def _end(clip: str) -> float:
    return 9.0 if clip.startswith("-0b") else CLIPS[clip][1] + 10


def by_split(make: Any) -> dict[str, list[Any]]:
    return {split: [make(clip) for clip in CLIPS if CLIPS[clip][3] == split] for split in ("test", "train")}


def _donor(clip: str) -> str:
    return dict(PAIRS)[clip]


def _name(clip: str) -> str:
    """As the official downloaders name a clip."""
    return f"Y{CLIPS[clip][0]}_{round(CLIPS[clip][1] * 1000)}_{round(_end(clip) * 1000)}.mp4"


def _with_replaced_name(clip: str) -> str:
    return f"videos/misaligned/Y{CLIPS[clip][0]}_repDiff_{CLIPS[_donor(clip)][2]}_0.mp4"


# Form → files. All tell of the same clips and pairs, except that `repdiff_*` give the donor's class only.
FORMS: dict[str, dict[str, Any]] = {
    "list_with_a_split_and_donors_by_id": {
        "clips.json": [
            entry(clip, split=CLIPS[clip][3], donor_id=CLIPS[_donor(clip)][0], caption="x") for clip in CLIPS
        ]
    },
    "lists_by_split_with_names_and_donors_by_name": {
        "list.json": by_split(
            lambda clip: {
                "video": _name(clip),
                "class": CLIPS[clip][2].lower().replace("_", " "),
                "replacing_clip": _name(_donor(clip)),
                "replacing_class": CLIPS[_donor(clip)][2],
            }
        )
    },
    "files_by_split_without_times": {
        f"mma_{split}.json": {"data": [{"id": n, "ytid": f"Y{CLIPS[c][0]}", "mid": MIDS[CLIPS[c][2]],
                                        "audio_youtube_id": CLIPS[_donor(c)][0], "audio_label": CLIPS[_donor(c)][2]}
                                       for n, c in enumerate(clips)], "name": "MMA-Bench", "version": 1}
        for split, clips in by_split(str).items()
    },
    "by_clip_with_donor_objects": {
        "list.json": {
            split: {
                f"Y{CLIPS[clip][0]}": {
                    "ground_truth": [MIDS[CLIPS[clip][2]], ANIMAL] if CLIPS[clip][2] == "Cat" else CLIPS[clip][2],
                    "start_ms": round(CLIPS[clip][1] * 1000),
                    "misaligned": [
                        {"id": CLIPS[_donor(clip)][0], "start": CLIPS[_donor(clip)][1], "label": CLIPS[_donor(clip)][2]}
                    ],
                }
                for clip in clips
            }
            for split, clips in by_split(str).items()
        }
    },
    "aligned_and_misaligned_apart": {
        f"{split}.json": {
            "misaligned": [{"base": CLIPS[c][0], "audio_source": f"Y{CLIPS[_donor(c)][0]}.wav"} for c in clips],
            "aligned": [{"url": f"https://www.youtube.com/watch?v={CLIPS[c][0]}&t={int(CLIPS[c][1])}s",
                         "category": CLIPS[c][2]} for c in clips],
        }
        for split, clips in by_split(str).items()
    },
    "json_lines_with_pandas_floats": {
        "list.jsonl": [
            {"YTID": CLIPS[clip][0], "start": CLIPS[clip][1] * 1000 if CLIPS[clip][1] else 0.0,
             "label_name": CLIPS[clip][2], "subset": "eval" if CLIPS[clip][3] == "test" else "train",
             "rep_id": CLIPS[_donor(clip)][0]}
            for clip in CLIPS
        ]
    },
    "chats_for_tuning_with_both_truths": {
        f"{split}.json": [
            {"messages": [{"role": "user", "content": "x"}], "videos": [f"data/Y{CLIPS[c][0]}.mp4"],
             "audios": [f"data/Y{CLIPS[d][0]}.wav"], "gt_visual": CLIPS[c][2], "gt_audio": CLIPS[d][2]}
            for c in clips for d in (c, _donor(c))
        ]
        for split, clips in by_split(str).items()
    },
    "repdiff_names_beside_aligned_names": {
        f"{split}.json": {
            "aligned": {f"Y{CLIPS[c][0]}.mp4": CLIPS[c][2] for c in clips},
            "misaligned": [_with_replaced_name(c) for c in clips],
        }
        for split, clips in by_split(str).items()
    },
    "split_and_kind_in_one_key": {
        "list.json": {
            key: value
            for split, clips in by_split(str).items()
            for key, value in (
                (f"{split}_aligned", [entry(c) for c in clips]),
                (f"misaligned {split} set", [entry(c, donor=_donor(c)) for c in clips]),
            )
        }
    },
    "repdiff_by_class": {
        "list.json": {
            split: {
                label: [
                    {"file": f"Y{CLIPS[c][0]}.mp4", "misaligned_clips": [_with_replaced_name(c)]}
                    for c in clips
                    if CLIPS[c][2] == label
                ]
                for label in sorted({CLIPS[c][2] for c in clips})
            }
            for split, clips in by_split(str).items()
        }
    },
}  # fmt: skip


def write(folder: Path, files: dict[str, Any]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        lines = "".join(f"{json.dumps(row)}\n" for row in content) if name.endswith("l") else json.dumps(content)
        (folder / name).write_text(lines)
    return folder
