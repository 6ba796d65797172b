"""A web server for tests: a function from request to answer, on a port of its own, that remembers what it was asked."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Answer:
    """`cut`: the connection ends after so many bytes of the body; with `hold` it stays until the other side goes away.

    Content-Length is the body's, unless given.
    """

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    hold: bool = False


@dataclass
class Asked:
    method: str
    path: str
    headers: dict[str, str]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    answer: Callable[[Asked], Answer]
    asked: list[Asked]

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = Asked(self.command, self.path, {name.title(): value for name, value in self.headers.items()})
        self.server.asked.append(asked)
        answer = self.server.answer(asked)
        self.send_response(answer.status)
        for name, value in {"Content-Length": str(len(answer.body)), **answer.headers}.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(answer.body[: answer.cut])
        if answer.hold:
            with suppress(ConnectionResetError):
                self.rfile.read(1)

    def do_HEAD(self):
        self.do_GET()

    def log_message(self, *_):
        pass


@contextmanager
def serving(answer: Callable[[Asked], Answer]) -> Iterator[Server]:
    with Server(("127.0.0.1", 0), Handler) as running:
        running.answer, running.asked = answer, []
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield running
        finally:
            running.shutdown()
            thread.join()


def part_of(content: bytes, asked: Asked, etag: str | None = '"one"', cut: int | None = None) -> Answer:
    """What a file server answers: the whole, or the range that was asked for, if it still is the same file (RFC."""
    known = {"ETag": etag} if etag else {}
    begin = asked.headers.get("Range", "")
    if not begin or asked.headers.get("If-Range", etag) != etag:
        return Answer(content, headers=known, cut=cut)
    start = int(begin.removeprefix("bytes=").removesuffix("-"))
    if start >= len(content):
        return Answer(status=416, headers={"Content-Range": f"bytes */{len(content)}"})
    known["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
    return Answer(content[start:], 206, known, cut)
