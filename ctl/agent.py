# SPDX-License-Identifier: Apache-2.0
"""Asks a running agent on its admin endpoint, as any user would. Effects only; what is shown is ``looking``'s.

The unix socket ``<configPath>/ADMIN`` by default; over TCP, and for what changes something, with the token of
``<state dir>/admin.token``. Source: DESIGN 4.10.
"""

from __future__ import annotations

import http.client
import json
import socket
from pathlib import Path
from typing import Any

from mesh import paths
from mesh.errors import MeshError

TIMEOUT = 30.0
API = "/api/v1"
SOCKET = f"{paths.CONFIG_DIR}/{paths.ADMIN_SOCKET_NAME}"


class AgentSilent(MeshError):
    """No agent answers there, or it refuses."""

    hint = "is the agent running? --socket names its ADMIN socket, --address its PILOT_ADMIN_ADDR"


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=TIMEOUT)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        self.sock.connect(self._path)


class AgentApi:
    """One agent. ``address`` is ``host:port``; without one, the socket is asked."""

    def __init__(self, *, unix: str = SOCKET, address: str = "", token_file: str = "") -> None:
        self._unix = unix
        self._address = address
        self._token_file = token_file

    def get(self, page: str) -> Any:
        """The JSON of a page. Raises AgentSilent."""
        return json.loads(self.text(page))

    def text(self, page: str) -> str:
        """The page as it is. Raises AgentSilent."""
        return self._ask("GET", page, None)

    def post(self, page: str, body: dict[str, str]) -> Any:
        """Change something. Raises AgentSilent, also with the agent's own reason for a refusal."""
        return json.loads(self._ask("POST", page, json.dumps(body)))

    def _ask(self, method: str, page: str, body: str | None) -> str:
        where = self._address or self._unix
        connection = (
            http.client.HTTPConnection(self._address, timeout=TIMEOUT)
            if self._address
            else _UnixConnection(self._unix)
        )
        try:
            connection.request(method, f"{API}/{page}", body, self._headers())
            reply = connection.getresponse()
            text = reply.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as error:
            why = getattr(error, "strerror", None) or str(error) or type(error).__name__
            raise AgentSilent(f"no answer from {where}: {why}") from None
        finally:
            connection.close()
        if reply.status != 200:
            raise AgentSilent(f"{where} refuses {page}: {_reason(text)}")
        return text

    def _headers(self) -> dict[str, str]:
        try:
            token = Path(self._token_file).read_text().strip() if self._token_file else ""
        except OSError as error:
            raise AgentSilent(f"{self._token_file} cannot be read: {error.strerror}") from None
        return {"Authorization": f"Bearer {token}"} if token else {}


def _reason(text: str) -> str:
    try:
        return str(json.loads(text)["error"])
    except (ValueError, KeyError, TypeError):
        return text.strip()[:200]
