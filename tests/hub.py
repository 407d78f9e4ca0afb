"""A hub on this machine: data set repositories as folders, served in the few requests that `huggingface_hub` makes."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.parse import unquote, urlsplit

from kick.data.datasets import git_blob_hash


@dataclass
class Hub:
    """The served folder, and what goes wrong: files that break off half-way, and checksums that are not theirs."""

    root: Path  # <owner>/<name>/<file>
    url: str = ""
    broken: set[str] = field(default_factory=set)  # names of files
    mistaken: set[str] = field(default_factory=set)
    requests: list[str] = field(default_factory=list)


@contextmanager
def serve(root: Path) -> Iterator[Hub]:
    """Serve the repositories below a folder; every commit holds the same files."""
    hub = Hub(root)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer(body=True)

        def do_HEAD(self) -> None:
            self._answer(body=False)

        def _answer(self, body: bool) -> None:
            parts = unquote(urlsplit(self.path).path).strip("/").split("/")
            hub.requests.append(self.path)
            if parts[:2] == ["api", "datasets"] and parts[4] == "tree":
                self._send(json.dumps(_tree(hub, "/".join(parts[2:4]))).encode(), body, parts[5])
            elif parts[0] == "datasets" and parts[3] == "resolve":
                file = hub.root.joinpath(*parts[1:3], *parts[5:])
                content = file.read_bytes()
                self._send(content, body, parts[4], cut=file.name in hub.broken)
            else:
                self.send_error(404)

        def _send(self, content: bytes, body: bool, commit: str, cut: bool = False) -> None:
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.send_header("Content-Type", "application/json")
            self.send_header("X-Repo-Commit", commit)
            self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
            self.end_headers()
            if body:
                self.wfile.write(content[: len(content) // 2] if cut else content)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


def _tree(hub: Hub, repository: str) -> list[dict[str, object]]:
    folder = hub.root / repository
    return [_file(hub, folder, file) for file in sorted(folder.rglob("*")) if file.is_file()]


def _file(hub: Hub, folder: Path, file: Path) -> dict[str, object]:
    """As the hub tells of a file: Parquet lies in large file storage, text in git."""
    content = b"another" if file.name in hub.mistaken else file.read_bytes()
    told: dict[str, object] = {
        "type": "file",
        "path": file.relative_to(folder).as_posix(),
        "size": file.stat().st_size,
        "oid": git_blob_hash(content),
    }
    if file.suffix == ".parquet":
        digest = hashlib.sha256(content).hexdigest()
        told["lfs"] = {"oid": digest, "size": file.stat().st_size, "pointerSize": 134}
    return told
