"""The made-up project, whose candidates are not filtered yet."""

import os
import subprocess
from itertools import combinations, islice
from pathlib import Path
from typing import Final

PROJECT: Final = Path(__file__).parents[2]
CLASSES: Final = [f"Sounding_object_{number:02}" for number in range(60)]
SEGMENTS: Final = 11  # of AudioSet, for each candidate


def write_project(folder: Path, clips: int, donors: int) -> None:
    """A project whose candidates are not filtered yet: parameters, classes, AudioSet's lists and a mirror."""
    import yaml

    from mma_bench.classes import ClassTable, LabelClass, Node, save_classes
    from mma_bench.schema import PAPERS_CONDITIONS

    raw = yaml.safe_load((PROJECT / "params.yaml").read_text(encoding="utf-8"))
    raw["candidates"] = {"audioset": True, "manifests": {}}
    raw["acquire"] |= {"source": "folder", "folder": "mirror", "limit": None}
    raw["acquire"]["splits"] = {"test": ["eval"], "train": ["unbalanced_train"]}
    raw["pair"]["donors"]["train"] = donors
    conditions = {"test": list(map(str, PAPERS_CONDITIONS)), "train": ["aligned", "misaligned"]}
    raw["conflicts"] |= {"conditions": conditions, "steps": {}}
    (folder / "params.yaml").write_text(yaml.safe_dump(raw, sort_keys=False))
    (folder / "tombstones.csv").write_text("id,reason,date\n")
    labels = {f"/m/{number:03}": name for number, name in enumerate(CLASSES)}
    nodes = {
        label: Node(name, (), 1, (label,), "kept", "made up", name)  # 60 roots
        for label, name in labels.items()
    }
    classes = tuple(LabelClass(name, label, name, (label,), (label,)) for label, name in labels.items())
    (folder / "data/metadata").mkdir(parents=True)
    save_classes(ClassTable(classes, nodes), folder / "data/classes.json")
    (folder / "mirror").mkdir()
    (folder / "empty").mkdir()
    (folder / "empty/not_of_here_0_10.mp4").touch()
    clip = folder / "mirror/clip.mp4"
    inputs = ["-f", "lavfi", "-i", "testsrc2=size=64x64:rate=10:duration=1", "-f", "lavfi", "-i", "sine=duration=1"]
    codecs = ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac", "-shortest"]
    subprocess.run(["ffmpeg", "-nostdin", "-v", "error", *inputs, *codecs, str(clip)], check=True)
    ids = list(labels)
    rows: dict[str, list[str]] = {"eval": [], "balanced_train": [], "unbalanced_train": []}
    for number in range(clips):
        subset, place = ("eval", number // 10) if number % 10 == 0 else ("unbalanced_train", number - number // 10)
        rows[subset].append(f'{number:011}, 0.000, 10.000, "{ids[place % len(ids)]}"\n')
        os.link(clip, folder / f"mirror/{number:011}_0_10.mp4")
    clip.unlink()
    other = (",".join(three) for three in combinations(ids, 3))  # more than one class
    several = list(islice(other, max(1, clips // 10)))
    for number in range(clips, clips * SEGMENTS):
        subset = "balanced_train" if number % 100 == 0 else "unbalanced_train"
        rows[subset].append(f'{number:011}, 0.000, 10.000, "{several[number % len(several)]}"\n')
    for subset, lines in rows.items():
        (folder / f"data/metadata/{subset}_segments.csv").write_text("".join(lines))
