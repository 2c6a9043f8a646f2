"""A real HTTP server on this machine that answers chats as a test's script says."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Request:
    """What came in, and when."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]
    at: float = field(default_factory=time.monotonic)

    @property
    def question(self) -> str:
        content: str = self.body["messages"][-1]["content"]
        return content


@dataclass
class Response:
    """What goes out; ``raw`` replaces all of it, status line included."""

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    seconds: float = 0.0
    trickle: float = 0.0


Script = Callable[[Request], Response]


class Server(ThreadingHTTPServer):
    daemon_threads = True
    # A stopped server's port is taken again by the next one in a test.
    allow_reuse_address = True
    # With the usual 5, connections made at once wait a second for their second attempt.
    request_queue_size = 64

    def __init__(self, script: Script, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.script = script
        self.requests: list[Request] = []
        self.at_once = self.most_at_once = 0
        self.lock = threading.Lock()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def do_POST(self) -> None:
        length = int(self.headers["Content-Length"])
        request = Request(self.path, dict(self.headers), json.loads(self.rfile.read(length)))
        with self.server.lock:
            self.server.requests.append(request)
            self.server.at_once += 1
            self.server.most_at_once = max(self.server.most_at_once, self.server.at_once)
        response = self.server.script(request)
        time.sleep(response.seconds)
        # Before it is sent: the client may ask again the moment that it has its answer.
        with self.server.lock:
            self.server.at_once -= 1
        with suppress(OSError):  # The client hung up, as clients do.
            self._send(response)

    def _send(self, response: Response) -> None:
        if response.raw is None:
            self.send_response(response.status)
            headers = {"Content-Length": str(len(response.body)), **response.headers}
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
        sent = response.body if response.raw is None else response.raw
        if not response.trickle:
            self.wfile.write(sent)
            return
        for byte in sent:
            self.wfile.write(bytes([byte]))
            self.wfile.flush()
            time.sleep(response.trickle)

    def log_message(self, format: str, *args: object) -> None:
        """Tests need no log."""


@contextmanager
def serving(
    script: Script, port: int = 0, certificate: ssl.SSLContext | None = None
) -> Iterator[Server]:
    server = Server(script, port)
    if certificate:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def chosen(text: str | None, tokens: Sequence[tuple[str, dict[str, float]]] = ()) -> Response:
    """A completion; each token with its alternatives' log-probabilities, itself included."""
    choice: dict[str, Any] = {"index": 0, "message": {"role": "assistant", "content": text}}
    if tokens:
        choice["logprobs"] = {
            "content": [
                {
                    "token": token,
                    "logprob": others[token],
                    "bytes": list(token.encode()),
                    "top_logprobs": [{"token": t, "logprob": p} for t, p in others.items()],
                }
                for token, others in tokens
            ]
        }
    body = {"id": "1", "object": "chat.completion", "choices": [choice], "usage": {}}
    return Response(body=json.dumps(body).encode())
