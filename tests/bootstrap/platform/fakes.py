# SPDX-License-Identifier: Apache-2.0
"""A metadata server in a dictionary, and the same behind a real socket."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

from bootstrap.platform.found import Answer, NoAnswer


class FakeServer:
    """Answers by URL (with ``METHOD `` before it where that is not GET); records what was asked."""

    def __init__(
        self, answers: Mapping[str, str], *, headers: Mapping[str, str] | None = None
    ) -> None:
        self.answers = answers
        self.headers = headers or {}
        self.asked: list[tuple[str, Mapping[str, str]]] = []

    def __call__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        timeout: float = 1.0,
        any_status: bool = False,
    ) -> Answer:
        key = url if method == "GET" else f"{method} {url}"
        self.asked.append((key, headers or {}))
        if key not in self.answers:
            raise NoAnswer(url, "status 404")
        return Answer(self.answers[key], self.headers)


@contextmanager
def http_server(answers: Mapping[str, str]) -> Iterator[str]:
    """``host:port`` of a server that answers by path; a path that is not there is a 404 with a body."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = answers.get(self.path, "nothing here").encode()
            self.send_response(200 if self.path in answers else 404)
            self.send_header("Metadata-Flavor", "Google")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_PUT(self) -> None:
            self.do_GET()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  the base's name
            """Quiet."""

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
