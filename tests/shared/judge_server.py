"""An endpoint for judges over HTTP on this machine: it answers as a test says, and remembers what it was asked."""

import json
import re
import socketserver
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Lock, Thread
from typing import Any

Reply = tuple[int, Mapping[str, str], str]
"""Status, headers, body."""


@dataclass
class Server:
    """What an endpoint has seen."""

    url: str
    asked: list[str] = field(default_factory=list[str])
    headers: list[Mapping[str, str]] = field(default_factory=list[Mapping[str, str]])
    now: int = 0
    most: int = 0
    lock: Lock = field(default_factory=Lock)


def completion(content: str | None, used: tuple[int, int] | None = None) -> Reply:
    """A chat completion; `used`: tokens of the question and of the answer, if the endpoint tells them."""
    body: dict[str, Any] = {"choices": [{"message": {"role": "assistant", "content": content}}]}
    if used is not None:
        body["usage"] = {"prompt_tokens": used[0], "completion_tokens": used[1]}
    return 200, {}, json.dumps(body)


@contextmanager
def serving(reply: Callable[[Server, str], Reply]) -> Generator[Server]:
    """An endpoint that gives `reply` to each question."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][0]["content"]
            with server.lock:
                server.asked.append(question)
                server.headers.append(dict(self.headers))
                server.now += 1
                server.most = max(server.most, server.now)
            status, headers, body = reply(server, question)
            with server.lock:
                server.now -= 1
            try:
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body.encode())
            except OSError:
                pass  # the other side was killed

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
            pass

    with _listening(ThreadingHTTPServer(("127.0.0.1", 0), Handler)) as server:
        yield server


@contextmanager
def _listening(tcp: socketserver.TCPServer) -> Generator[Server]:
    """What an endpoint behind `tcp` sees, while it is there."""
    Thread(target=tcp.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield Server(f"http://127.0.0.1:{tcp.server_address[1]}/v1")
    finally:
        tcp.shutdown()
        tcp.server_close()


@contextmanager
def speaking(say: Callable[[Callable[[bytes], object]], None]) -> Generator[Server]:
    """An endpoint that sends what it likes: `say` is given what sends bytes as they are. It ends when nobody listens."""

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            length = 0
            while (line := self.rfile.readline()).strip():
                if found := re.match(rb"(?i)content-length: *(\d+)", line):
                    length = int(found[1])
            with server.lock:
                server.asked.append(json.loads(self.rfile.read(length))["messages"][0]["content"])
            with suppress(OSError):  # the other side has had enough
                say(self.wfile.write)

    class Tcp(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with _listening(Tcp(("127.0.0.1", 0), Handler)) as server:
        yield server


def response(body: bytes, *headers: str, status: str = "200 OK") -> bytes:
    """A response as it goes over the wire."""
    lines = [
        f"HTTP/1.1 {status}",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        "Connection: close",
        *headers,
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
