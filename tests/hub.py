"""A stand-in of the Hub on the loopback: enough of its HTTP API for the real clients, with faults on request.

Holds repositories of datasets and models as commits of whole file lists, with branches, tags and LFS objects. It keeps
every request, so that a test can see what was sent and what was not. `fail` makes the next matching requests go wrong:
a status code, or a connection that is cut after some bytes of the body.
"""

import base64
import hashlib
import json
import re
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.hub_answers import LFS, Answer, git_oid, info, missing, mode, paths_info, tree, validate

_KINDS = {"datasets": "dataset", "models": "model"}


@dataclass
class Repo:
    """Commits are path → bytes; `branch` is the list of commit ids of main, the newest last."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branch: list[str] = field(default_factory=list)
    tags: dict[str, str] = field(default_factory=dict)
    objects: dict[str, bytes] = field(default_factory=dict)

    def commit(self, files: dict[str, bytes]) -> str:
        content = sorted((path, hashlib.sha256(data).hexdigest()) for path, data in files.items())
        oid = hashlib.sha1(json.dumps([len(self.branch), content]).encode()).hexdigest()  # noqa: S324
        self.commits[oid] = files
        self.branch.append(oid)
        return oid

    def resolve(self, revision: str) -> str | None:
        named = {"main": self.branch[-1], "refs/heads/main": self.branch[-1], **self.tags}
        return named.get(revision, revision if revision in self.commits else None)


@dataclass
class Fault:
    """What goes wrong with a request whose `METHOD path` matches.

    Attributes:
        status: Answered instead of doing it; 0 cuts the connection.
        times: How many requests it strikes.
        skip: How many matching requests go right before.
        after: For a cut: after so many bytes of the request's body, or of the answer's for a GET.
        late: The request is carried out before the fault.
    """

    pattern: str
    status: int = 0
    times: int = 1
    skip: int = 0
    after: int = 0
    late: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    message: str = ""


class Hub:
    """The state behind the server; `url` is for HF_ENDPOINT."""

    def __init__(self, token: str) -> None:
        self.token, self.url = token, ""
        self.repos: dict[tuple[str, str], Repo] = {}
        self.requests: list[tuple[str, str, int]] = []  # method, path, bytes of the request's body
        self.faults: list[Fault] = []
        self.swapped: dict[str, bytes] = {}  # sha256 of a file → what is delivered in its place
        self.lock = threading.RLock()

    def fail(self, pattern: str, status: int = 0, **more: Any) -> Fault:
        """Make requests that match go wrong; see Fault."""
        self.faults.append(Fault(pattern, status, **more))
        return self.faults[-1]

    def strike(self, line: str) -> Fault | None:
        with self.lock:
            for fault in self.faults:
                if fault.times and re.search(fault.pattern, line):
                    if fault.skip:
                        fault.skip -= 1
                        return None
                    fault.times -= 1
                    return fault
        return None

    def sent(self, pattern: str) -> list[tuple[str, str, int]]:
        """The requests whose `METHOD path` matches."""
        return [request for request in self.requests if re.search(pattern, f"{request[0]} {request[1]}")]

    def files(self, name: str, revision: str = "main", kind: str = "dataset") -> dict[str, bytes]:
        repo = self.repos[kind, name]
        oid = repo.resolve(revision)
        assert oid is not None, f"{name} has no {revision}"
        return repo.commits[oid]


class _Cut(Exception):
    """The connection ends here."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms for the client's acknowledgement
    hub: Hub

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self._serve()

    do_HEAD = do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815

    def _serve(self) -> None:
        split = urlsplit(self.path)
        path, self.query = unquote(split.path), parse_qs(split.query)
        self.struck = self.hub.strike(f"{self.command} {path}")
        try:
            body = self._body()
            with self.hub.lock:
                self.hub.requests.append((self.command, path, len(body)))
            if self.struck is not None and not self.struck.late and self.command in ("POST", "PUT", "DELETE"):
                self._fault(self.struck)
            with self.hub.lock:
                answer = self._route(path, body)
            if self.struck is not None and (self.struck.late or self.struck.status):
                self._fault(self.struck)
        except Answer as given:
            answer = given
        except _Cut:
            self._hang_up()
            return
        self._send(answer)

    def _fault(self, fault: Fault) -> None:
        if not fault.status:
            raise _Cut
        raise Answer(fault.status, {"error": fault.message or f"fault {fault.status}"}, **fault.headers)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _body(self) -> bytes:
        length = int(self.headers.get("Content-Length") or 0)
        if self.headers.get("Transfer-Encoding") == "chunked":
            parts = []
            while size := int(self.rfile.readline(), 16):
                parts.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(parts)
        if self.struck is not None and not self.struck.status and not self.struck.late and length:
            self.rfile.read(min(self.struck.after, length))
            raise _Cut
        return self.rfile.read(length)

    def _send(self, answer: Answer) -> None:
        body, headers = answer.body, dict(answer.headers)
        if not isinstance(body, bytes):
            body = json.dumps(body).encode() if body is not None else b""
            headers.setdefault("Content-Type", "application/json")
        self.send_response(answer.status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if self.struck is not None and not self.struck.status and answer.status < 300:
            self.wfile.write(body[: self.struck.after])
            self._hang_up()
            return
        self.wfile.write(body)

    def _authorised(self) -> None:
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            raise Answer(401, {"error": "Invalid credentials in Authorization header"})

    def _route(self, path: str, body: bytes) -> Answer:
        if path == "/api/whoami-v2":
            self._authorised()
            return Answer(200, {"type": "user", "name": "someone", "orgs": [], "auth": {"type": "access_token"}})
        if path == "/api/validate-yaml":
            return validate(json.loads(body))
        if path == "/api/repos/create":
            return self._create(json.loads(body))
        if match := re.fullmatch(r"/lfs/(dataset|model)/([^/]+/[^/]+)/([0-9a-f]{64})", path):
            repo = self._repo(match[1], match[2])
            if hashlib.sha256(body).hexdigest() != match[3]:
                return Answer(400, {"error": "the bytes are not those that were announced"})
            repo.objects[match[3]] = body
            return Answer(200, {})
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            self._authorised()
            return self._batch("dataset" if match[1] else "model", match[2], json.loads(body))
        if match := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/(.+)", path):
            repo = self._repo("dataset" if match[1] else "model", match[2])
            return self._download(repo, *self._revision(repo, match[3]))
        if match := re.fullmatch(r"/api/(datasets|models)/([^/]+/[^/]+)(?:/([a-z-]+)(?:/(.*))?)?", path):
            repo = self._repo(_KINDS[match[1]], match[2])
            return self._api(repo, match[2], match[3] or "revision", match[4] or "main", body)
        return Answer(404, {"error": f"no such address: {path}"})

    def _repo(self, kind: str, name: str) -> Repo:
        try:
            return self.hub.repos[kind, name]
        except KeyError:
            raise missing("Repository", "RepoNotFound") from None

    def _revision(self, repo: Repo, rest: str) -> tuple[str, str]:
        """The commit and the path that `revision/path` names; a revision may hold slashes."""
        parts = rest.split("/")
        for cut in range(1, len(parts) + 1):
            if oid := repo.resolve("/".join(parts[:cut])):
                return oid, "/".join(parts[cut:])
        raise missing("Revision", "RevisionNotFound")

    def _create(self, wanted: dict[str, Any]) -> Answer:
        self._authorised()
        kind, name = wanted.get("type", "model"), f"{wanted['organization']}/{wanted['name']}"
        if (kind, name) in self.hub.repos:
            return Answer(409, {"error": "You already created this repo"})
        repo = self.hub.repos[kind, name] = Repo()
        repo.commit({".gitattributes": b"*.parquet filter=lfs diff=lfs merge=lfs -text\n"})
        prefix = "datasets/" if kind == "dataset" else ""
        return Answer(200, {"url": f"{self.hub.url}/{prefix}{name}", "name": name})

    def _batch(self, kind: str, name: str, wanted: dict[str, Any]) -> Answer:
        repo, objects = self._repo(kind, name), []
        for item in wanted["objects"]:
            there = item["oid"] in repo.objects
            href = f"{self.hub.url}/lfs/{kind}/{name}/{item['oid']}"
            objects.append({**item, **({} if there else {"actions": {"upload": {"href": href}}})})
        return Answer(200, {"transfer": "basic", "objects": objects})

    def _api(self, repo: Repo, name: str, verb: str, rest: str, body: bytes) -> Answer:
        if verb == "refs":
            branches = [{"name": "main", "ref": "refs/heads/main", "targetCommit": repo.branch[-1]}]
            tags = [{"name": tag, "ref": f"refs/tags/{tag}", "targetCommit": oid} for tag, oid in repo.tags.items()]
            return Answer(200, {"branches": branches, "converts": [], "tags": tags})
        if verb == "tag":
            return self._tag(repo, rest, body)
        oid, path = self._revision(repo, rest)
        files = repo.commits[oid]
        if verb == "revision":
            return Answer(200, info(name, oid, files))
        if verb == "tree":
            return Answer(200, tree(files, path, self.query.get("recursive", ["false"])[0].lower() in ("1", "true")))
        if verb == "paths-info":
            return Answer(200, paths_info(files, self._form(body)))
        self._authorised()
        if verb == "preupload":
            listed = [(item["path"], files.get(item["path"])) for item in json.loads(body)["files"]]
            return Answer(200, {"files": [mode(path, data) for path, data in listed]})
        if verb == "commit":
            return self._commit(repo, name, [json.loads(line) for line in body.splitlines()])
        return Answer(404, {"error": f"no such verb: {verb}"})

    def _form(self, body: bytes) -> list[str]:
        if "json" in self.headers.get("Content-Type", ""):
            return list(json.loads(body)["paths"])
        return parse_qs(body.decode())["paths"]

    def _tag(self, repo: Repo, rest: str, body: bytes) -> Answer:
        self._authorised()
        if self.command == "DELETE":
            return Answer(200 if repo.tags.pop(rest, None) else 404, {})
        oid, _ = self._revision(repo, rest)
        tag = json.loads(body)["tag"]
        if tag in repo.tags:
            return Answer(409, {"error": f"Tag reference exists already: {tag}"})
        repo.tags[tag] = oid
        return Answer(200, {})

    def _commit(self, repo: Repo, name: str, lines: list[dict[str, Any]]) -> Answer:
        files = dict(repo.commits[repo.branch[-1]])
        for line in lines:
            value = line["value"]
            if line["key"] == "header" and value.get("parentCommit", repo.branch[-1]) != repo.branch[-1]:
                return Answer(412, {"error": "A commit has happened since. Please refresh and try again."})
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                if value["oid"] not in repo.objects:
                    return Answer(400, {"error": f"no LFS object for {value['path']}"})
                files[value["path"]] = repo.objects[value["oid"]]
            elif line["key"] == "deletedFile" and files.pop(value["path"], None) is None:
                raise missing("A file with this name doesn't exist", "EntryNotFound")
        oid = repo.commit(files)
        return Answer(200, {"success": True, "commitOid": oid, "commitUrl": f"{self.hub.url}/{name}/commit/{oid}"})

    def _download(self, repo: Repo, oid: str, path: str) -> Answer:
        headers = {"X-Repo-Commit": oid, "Accept-Ranges": "bytes", "Content-Type": "application/octet-stream"}
        try:
            data = repo.commits[oid][path]
        except KeyError:
            raise missing("Entry", "EntryNotFound") from None
        etag = hashlib.sha256(data).hexdigest() if path.endswith(LFS) else git_oid(data)
        headers |= {"ETag": f'"{etag}"', "X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        data = self.hub.swapped.get(hashlib.sha256(data).hexdigest(), data)
        if match := re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", "")):
            first, last = int(match[1]), int(match[2] or len(data) - 1)
            if first >= len(data):
                return Answer(416, b"", **{"Content-Range": f"bytes */{len(data)}"})
            last = min(last, len(data) - 1)
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            return Answer(206, data[first : last + 1], **headers)
        return Answer(200, data, **headers)


@contextmanager
def serving(token: str) -> Iterator[Hub]:
    """A running stand-in that takes this token."""
    hub = Hub(token)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    server.daemon_threads = True
    hub.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield hub
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
