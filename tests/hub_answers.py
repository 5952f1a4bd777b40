"""What the stand-in of the Hub answers about files: pure functions of path → bytes."""

import hashlib
from typing import Any

import yaml

LFS = (".parquet", ".safetensors", ".bin", ".png", ".mp4")


class Answer(Exception):
    """A status and a body to answer with."""

    def __init__(self, status: int, body: Any = None, **headers: str) -> None:
        self.status, self.body, self.headers = status, body, headers


def missing(what: str, code: str) -> Answer:
    return Answer(404, {"error": f"{what} not found"}, **{"X-Error-Code": code, "X-Error-Message": f"{what} not found"})


def git_oid(data: bytes) -> str:
    return hashlib.sha1(f"blob {len(data)}\0".encode() + data).hexdigest()  # noqa: S324


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": git_oid(data)}
    if path.endswith(LFS):
        entry["lfs"] = {"oid": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
    return entry


def info(name: str, oid: str, files: dict[str, bytes]) -> dict[str, Any]:
    owner, date = name.partition("/")[0], "2026-01-01T00:00:00.000Z"
    about = {"id": name, "author": owner, "sha": oid, "private": False, "gated": False, "disabled": False, "tags": []}
    more = {"lastModified": date, "createdAt": date, "downloads": 0, "likes": 0}
    return {**about, **more, "siblings": [{"rfilename": path} for path in sorted(files)]}


def tree(files: dict[str, bytes], path: str, recursive: bool) -> list[dict[str, Any]]:
    prefix = f"{path.rstrip('/')}/" if path else ""
    inside = {file: data for file, data in sorted(files.items()) if file.startswith(prefix)}
    if prefix and not inside:
        raise missing("Entry", "EntryNotFound")
    folders = _folders(inside, prefix)
    listed = [_folder(name) for name in sorted(folders) if recursive or "/" not in name[len(prefix) :]]
    return listed + [_entry(p, data) for p, data in inside.items() if recursive or "/" not in p[len(prefix) :]]


def _folders(files: dict[str, bytes], prefix: str = "") -> set[str]:
    found = set()
    for file in files:
        parts = file.split("/")
        found |= {"/".join(parts[:cut]) for cut in range(1, len(parts))}
    return {name for name in found if name.startswith(prefix)}


def _folder(path: str) -> dict[str, Any]:
    return {"type": "directory", "path": path, "size": 0, "oid": git_oid(path.encode())}


def paths_info(files: dict[str, bytes], paths: list[str]) -> list[dict[str, Any]]:
    folders = _folders(files)
    return [
        _entry(path, files[path]) if path in files else _folder(path)
        for path in (path.strip("/") for path in paths)
        if path in files or path in folders
    ]


def mode(path: str, data: bytes | None) -> dict[str, Any]:
    oid = None if data is None else hashlib.sha256(data).hexdigest() if path.endswith(LFS) else git_oid(data)
    return {
        "path": path,
        "uploadMode": "lfs" if path.endswith(LFS) else "regular",
        "shouldIgnore": False,
        **({"oid": oid} if oid else {}),
    }


def validate(card: dict[str, Any]) -> Answer:
    """What the Hub refuses in a card's metadata, as far as its documentation says."""
    parts = card["content"].split("---\n", 2)
    try:
        head = yaml.safe_load(parts[1])
    except (IndexError, yaml.YAMLError) as error:
        return Answer(400, {"errors": [{"message": f"the metadata are not YAML: {error}"}], "warnings": []})
    errors = []
    if head.get("license") == "other" and "license_name" not in head:
        errors.append({"message": '"license_name" is required where "license" is "other"'})
    for key, kind in (("language", list), ("tags", list), ("pretty_name", str), ("configs", list), ("version", str)):
        if key in head and not isinstance(head[key], kind):
            errors.append({"message": f'"{key}" must be of type {kind.__name__}'})
    return Answer(400 if errors else 200, {"errors": errors, "warnings": []})
