"""A stand-in for the Hugging Face Hub on this machine: as much of its HTTP interface as weights folders need.

Repositories live in memory. Files of ``*.safetensors`` go the way of large files (git LFS), as at the Hub.
"""

import base64
import hashlib
import json
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, final
from urllib.parse import unquote, urlsplit

import pytest
import yaml

TOKEN = "hf_of_the_owner"
READ_ONLY_TOKEN = "hf_of_a_reader"


@dataclass(frozen=True, slots=True)
class Answer:
    """What the server says."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, plain: Any, status: int = 200) -> "Answer":
        return cls(status, json.dumps(plain).encode())

    @classmethod
    def error(cls, status: int, code: str, message: str = "") -> "Answer":
        return cls(status, json.dumps({"error": message}).encode(), {"X-Error-Code": code, "X-Error-Message": message})


@dataclass(slots=True)
class Repository:
    """Commits, each with all its files, the oldest first."""

    private: bool = False
    gated: bool = False
    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    messages: list[str] = field(default_factory=list)

    def commit(self, files: dict[str, bytes], message: str = "", deleted: Collection[str] = ()) -> str:
        """Add files to what is there, and delete some; return the name of the commit."""
        self.messages.append(message)
        name = hashlib.sha1(f"commit {len(self.commits)}".encode()).hexdigest()
        self.commits[name] = {path: data for path, data in (self.files | files).items() if path not in deleted}
        return name

    @property
    def head(self) -> str:
        return list(self.commits)[-1]

    @property
    def files(self) -> dict[str, bytes]:
        """The files of the newest commit."""
        return self.commits[self.head] if self.commits else {}

    def named(self, revision: str) -> str | None:
        """Return the commit that a branch or a commit's name means."""
        if revision == "main":
            return self.head
        return revision if revision in self.commits else None


@final
class HubStandIn:
    """What the server has and what it was asked."""

    def __init__(self) -> None:
        self.url = ""
        self.repositories: dict[str, Repository] = {}
        self.stored: dict[str, bytes] = {}
        self.requests: list[str] = []
        self.broken = ""
        """A part of addresses that get no answer."""

    def add(self, name: str, files: dict[str, bytes], *, private: bool = False, gated: bool = False) -> Repository:
        """Make a repository of one commit."""
        self.repositories[name] = Repository(private=private, gated=gated)
        self.repositories[name].commit(files)
        return self.repositories[name]

    def fetched_files(self) -> set[str]:
        """Return the names of the files that were downloaded."""
        return {line.split("/")[-1] for line in self.requests if line.startswith("GET /") and "/resolve/" in line}

    def answer(self, method: str, path: str, token: str | None, body: bytes) -> Answer:
        """Answer a request."""
        self.requests.append(f"{method} {path}")
        if self.broken and self.broken in path:
            # Storage refuses what it cannot take; 503 it would be asked again and again.
            return Answer.error(403 if self.broken == "storage" else 503, "", "out of order")
        parts = [unquote(part) for part in path.strip("/").split("/")]
        match method, parts:
            case "POST", ["api", "repos", "create"]:
                return self._create(json.loads(body), token)
            case "POST", ["api", "validate-yaml"]:
                return _validate_card(json.loads(body)["content"])
            case "PUT", ["storage", oid]:
                self.stored[oid] = body
                return Answer(200)
            case _, ["api", "models", owner, name, *rest]:
                return self._of_repository(f"{owner}/{name}", method, rest, token, body)
            case "POST", [_, _, "info", "lfs", "objects", "batch"]:
                return Answer.of({"transfer": "basic", "objects": list(map(self._place, json.loads(body)["objects"]))})
            case "GET" | "HEAD", [owner, name, "resolve", revision, file]:
                return self._of_repository(f"{owner}/{name}", method, ["resolve", revision, file], token, body)
            case _:
                return Answer.error(404, "", f"{method} {path} is not part of the stand-in")

    def _create(self, wanted: dict[str, Any], token: str | None) -> Answer:
        name = f"{wanted['organization']}/{wanted['name']}"
        if token not in (TOKEN, READ_ONLY_TOKEN):
            return Answer.error(401, "", "Invalid username or password.")
        if token != TOKEN:
            return Answer.error(403, "", "You don't have the rights to create a model under this namespace")
        if name in self.repositories:
            return Answer.of({"error": "You already created this model repo", "url": f"{self.url}/{name}"}, 409)
        private = wanted.get("private", False) or wanted.get("visibility") == "private"
        self.repositories[name] = Repository(private=private)
        self.repositories[name].commit({".gitattributes": b"*.safetensors filter=lfs\n"})
        return Answer.of({"url": f"{self.url}/{name}", "id": name})

    def _of_repository(self, name: str, method: str, rest: list[str], token: str | None, body: bytes) -> Answer:
        repository = self.repositories.get(name)
        if repository is None or (repository.private and token != TOKEN):
            return Answer.error(404 if token else 401, "RepoNotFound", "Repository not found")
        if repository.gated and token != TOKEN and rest[:1] != []:
            return Answer.error(403, "GatedRepo", "Access to this model is restricted")
        match method, rest:
            case "GET", []:
                return _info(name, repository, repository.head)
            case _, [kind, revision, *file]:
                commit = repository.named(revision)
                if commit is None:
                    return Answer.error(404, "RevisionNotFound", f"Invalid rev id: {revision}")
                return self._at_commit(name, repository, kind, commit, file, body)
            case _:
                return Answer.error(404, "", "no such page")

    def _at_commit(
        self, name: str, repository: Repository, kind: str, commit: str, file: list[str], body: bytes
    ) -> Answer:
        match kind:
            case "revision":
                return _info(name, repository, commit)
            case "tree":
                return Answer.of([_entry(*named) for named in repository.commits[commit].items()])
            case "resolve":
                return _file(repository.commits[commit], commit, file[0])
            case "preupload":
                return Answer.of({"files": [_upload_mode(wanted) for wanted in json.loads(body)["files"]]})
            case "commit":
                return self._commit(name, repository, body)
            case _:
                return Answer.error(404, "", f"no {kind} here")

    def _commit(self, name: str, repository: Repository, body: bytes) -> Answer:
        files: dict[str, bytes] = {}
        deleted: list[str] = []
        message = ""
        for line in map(json.loads, body.splitlines()):
            value = line["value"]
            if line["key"] == "header":
                message = value["summary"]
            elif line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "deletedFile":
                deleted.append(value["path"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.stored[value["oid"]]
        commit = repository.commit(files, message, deleted)
        return Answer.of({"success": True, "commitOid": commit, "commitUrl": f"{self.url}/{name}/commit/{commit}"})

    def _place(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return {**wanted, "actions": {"upload": {"href": f"{self.url}/storage/{wanted['oid']}"}}}


@contextmanager
def served(hub: HubStandIn) -> Iterator[None]:
    """Let the stand-in answer on a port of this machine."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            authorization = self.headers.get("Authorization", "")
            token = authorization.removeprefix("Bearer ") or None
            answer = hub.answer(self.command, urlsplit(self.path).path, token, self._body())
            self.send_response(answer.status)
            for key, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)

        do_HEAD = do_POST = do_PUT = do_GET

        def _body(self) -> bytes:
            if self.headers.get("Transfer-Encoding") != "chunked":
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))
            chunks = []
            while size := int(self.rfile.readline(), 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            return b"".join(chunks)

        def log_message(self, format: str, *args: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    hub.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _info(name: str, repository: Repository, commit: str) -> Answer:
    files = [{"rfilename": file} for file in repository.commits[commit]]
    return Answer.of({"id": name, "modelId": name, "sha": commit, "private": repository.private, "siblings": files})


def _entry(path: str, data: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": path, "size": len(data), "oid": _etag(path, data)[:40]}
    if path.endswith(".safetensors"):
        entry["lfs"] = {"oid": _etag(path, data), "size": len(data), "pointerSize": 134}
    return entry


def _file(files: dict[str, bytes], commit: str, name: str) -> Answer:
    if name not in files:
        return Answer.error(404, "EntryNotFound", f"{name} is not there")
    headers = {"X-Repo-Commit": commit, "ETag": f'"{_etag(name, files[name])}"'}
    return Answer(200, files[name], headers)


def _etag(path: str, data: bytes) -> str:
    """Return the hash that the Hub names a file by: that of its content, or of its git blob."""
    if path.endswith(".safetensors"):
        return hashlib.sha256(data).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


def _upload_mode(wanted: dict[str, Any]) -> dict[str, Any]:
    mode = "lfs" if wanted["path"].endswith(".safetensors") else "regular"
    return {"path": wanted["path"], "uploadMode": mode, "shouldIgnore": False}


def _validate_card(text: str) -> Answer:
    """Refuse a card whose head is no mapping, as the Hub does."""
    head = yaml.safe_load(text.split("---")[1]) if text.startswith("---\n") else None
    if isinstance(head, dict):
        return Answer.of({"errors": [], "warnings": []})
    return Answer.of({"errors": [{"message": "the head of README.md is no mapping"}], "warnings": []}, 400)


def go_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Enable the offline mode of huggingface_hub."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    forget_connections()


def forget_connections() -> None:
    """Close connections that huggingface_hub keeps: before 1.0 they remember whether offline mode is enabled."""
    from huggingface_hub import utils

    forget = getattr(utils, "reset_sessions", None) or utils.close_session
    forget()
