# SPDX-License-Identifier: Apache-2.0
"""The admin socket: ``GET /status`` as JSON, for who may open the file (0600). Transport only; the facts are the app's.

Source: DESIGN 4.10.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping

import mesh.log
from agent.httpd import HttpServer, Reply, Request

log = mesh.log.get()

MODE = 0o600


class AdminServer:
    """``bind``, then ``run`` until cancelled."""

    def __init__(self, path: str, status: Callable[[], Mapping[str, object]]) -> None:
        self._path = path
        self._status = status
        self._server = HttpServer(self.answer)

    async def bind(self) -> bool:
        """Listen; False where the socket cannot be made: the mesh works without this page."""
        try:
            await self._server.bind_unix(self._path, mode=MODE)
        except OSError as error:
            why = error.strerror or str(error)
            log.error("admin socket cannot be made", path=self._path, why=why)  # noqa: TRY400  one line, no traceback
            return False
        return True

    async def run(self) -> None:
        await self._server.run()

    async def answer(self, request: Request) -> Reply:
        """The page that was asked for."""
        if request.path != "/status":
            return Reply(404, b"404 page not found\n")
        if request.method not in ("GET", "HEAD"):
            return Reply(405, b"Method Not Allowed")
        text = json.dumps(self._status(), indent=2, default=str)
        return Reply(200, f"{text}\n".encode(), "application/json")
