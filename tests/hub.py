"""A small hub on localhost, so that the hub's own client really downloads: repositories of folders, with revisions.

with Hub() as hub:
    commit = hub.publish("someone/model", folder)
    ... with the settings of hub.environment(cache) in a process, or hub.here(monkeypatch, cache) in this one
"""

import hashlib
import json
import re
import threading
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Self
from urllib.parse import unquote, urlsplit

BLOCK = 1 << 14


@dataclass
class Repository:
    """Revisions of one repository: commit → file → bytes; branches and tags → commit."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)
    gated: bool = False


class Hub:
    """The server; `asked` counts requests by method and path, `cut` says after how many bytes to hang up on a file."""

    def __init__(self) -> None:
        self.repositories: dict[str, Repository] = {}
        self.asked: Counter[tuple[str, str]] = Counter()
        self.ranges: list[str] = []
        self.cut: dict[str, list[int]] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (Answers,), {"hub": self}))
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def publish(self, name: str, folder: Path, *, branch: str = "main", gated: bool = False) -> str:
        """Make the files below `folder` the newest commit of a branch; returns the commit."""
        files = {
            path.relative_to(folder).as_posix(): path.read_bytes()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }
        told = hashlib.sha1(name.encode(), usedforsecurity=False)
        for path, content in files.items():
            told.update(path.encode() + content)
        commit = told.hexdigest()
        repository = self.repositories.setdefault(name, Repository())
        repository.commits[commit] = files
        repository.names[branch] = commit
        repository.gated = gated
        return commit

    def environment(self, cache: Path) -> dict[str, str]:
        """Variables under which another process talks to this hub and to no other."""
        return {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(cache),
            "HF_HUB_OFFLINE": "0",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }

    def here(self, monkeypatch: object, cache: Path, *, offline: bool = False) -> None:
        """Let this process talk to this hub: its client read the variables when it was imported."""
        from huggingface_hub import constants

        monkeypatch.setattr(constants, "ENDPOINT", self.url)
        template = self.url + "/{repo_id}/resolve/{revision}/{filename}"
        monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
        monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)


class Answers(BaseHTTPRequestHandler):
    """What the hub answers; `hub` is the server's own."""

    hub: Hub
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self.answer()

    def do_GET(self) -> None:
        self.answer()

    def log_message(self, *words: object) -> None:
        pass

    def answer(self) -> None:
        path = unquote(urlsplit(self.path).path)
        self.hub.asked[self.command, path] += 1
        for pattern, reply in (
            (r"/api/models/([^/]+/[^/]+)(?:/revision/(.+))?", self.about),
            (r"/api/models/([^/]+/[^/]+)/tree/([^/]+)", self.tree),
            (r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", self.file),
        ):
            found = re.fullmatch(pattern, path)
            if found:
                name, revision, *rest = found.groups()
                repository = self.hub.repositories.get(name)
                if repository is None:
                    return self.refuse(404, "RepoNotFound")
                revision = revision or "main"
                commit = revision if revision in repository.commits else repository.names.get(revision)
                if commit is None:
                    return self.refuse(404, "RevisionNotFound")
                return reply(name, repository, commit, *rest)
        return self.refuse(404, "EntryNotFound")

    def about(self, name: str, repository: Repository, commit: str) -> None:
        files = [{"rfilename": path} for path in repository.commits[commit]]
        self.tell({"_id": commit[:24], "id": name, "sha": commit, "private": False, "siblings": files})

    def tree(self, name: str, repository: Repository, commit: str) -> None:
        self.tell(
            [
                {"type": "file", "path": path, "size": len(content), "oid": _oid(content)}
                for path, content in repository.commits[commit].items()
            ]
        )

    def file(self, name: str, repository: Repository, commit: str, path: str) -> None:
        if repository.gated:
            return self.refuse(403, "GatedRepo")
        content = repository.commits[commit].get(path)
        if content is None:
            return self.refuse(404, "EntryNotFound", {"X-Repo-Commit": commit})
        begin, wanted = 0, self.headers.get("Range")
        if wanted:
            self.hub.ranges.append(f"{path} {wanted}")
            begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1])
        headers = {"X-Repo-Commit": commit, "ETag": f'"{_oid(content)}"', "Accept-Ranges": "bytes"}
        if begin:
            headers["Content-Range"] = f"bytes {begin}-{len(content) - 1}/{len(content)}"
        end = len(content)
        if self.command == "GET" and self.hub.cut.get(path):
            end = begin + self.hub.cut[path].pop(0)
        self.send(206 if begin else 200, content[begin:end], headers, len(content) - begin)
        if end < len(content):
            self.close_connection = True
        return None

    def tell(self, content: object) -> None:
        self.send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})

    def refuse(self, status: int, code: str, headers: dict[str, str] | None = None) -> None:
        self.send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": code, **(headers or {})})

    def send(self, status: int, body: bytes, headers: dict[str, str], length: int | None = None) -> None:
        self.send_response(status)
        for key, value in headers.items():
            self.send_header(key, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command == "GET":
            for begin in range(0, len(body), BLOCK):
                self.wfile.write(body[begin : begin + BLOCK])


def _oid(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()
