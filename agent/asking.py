# SPDX-License-Identifier: Apache-2.0
"""The two commands that only ask: ``request`` and ``wait``. Effects only. Source: spec/agent.md 1.3, 1.4."""

from __future__ import annotations

import asyncio
import json
from urllib.parse import urlsplit

from agent import http1
from mesh.errors import BadSetting, MeshError

REQUEST_TIMEOUT = 60.0
UPGRADE_TIMEOUT = 600.0
"""Longer than all of its steps; each has a deadline of its own."""
_NOT_FOUND = 404


class NotAnswered(MeshError):
    """The other side refused, or never became ready."""

    hint = "check that the sidecar runs and listens there"


def request_once(method: str, path: str, body: str, *, port: int) -> str:
    """The body of one answer. Raises NotAnswered for a status above 399 other than 404."""
    target = http1.Target("localhost", port, f"/{path.removeprefix('/')}", method.upper())
    reply = asyncio.run(http1.ask(target, timeout=REQUEST_TIMEOUT, body=body.encode()))
    if reply.status > 399 and reply.status != _NOT_FOUND:
        raise NotAnswered(f"received unsuccessful status code {reply.status}: {reply.text}")
    return reply.text


def upgrade_once(binary: str, *, socket: str, token: str) -> str:
    """What the running agent says once another Envoy has taken over. Raises NotAnswered with its reason."""
    target = http1.Target("localhost", 80, "/api/v1/upgrade", "POST")
    body = json.dumps({"envoy": binary}).encode()
    headers = (("Authorization", f"Bearer {token}"), ("Content-Type", "application/json"))
    via = http1.Via(path=socket)
    try:
        reply = asyncio.run(
            http1.ask(target, timeout=UPGRADE_TIMEOUT, headers=headers, body=body, via=via)
        )
    except http1.RequestFailed as error:
        raise NotAnswered(f"the agent cannot be asked at {socket}: {error.why}") from None
    said = _object(reply.text)
    if reply.status != 200:
        failed = NotAnswered(str(said.get("error", f"status {reply.status}")))
        failed.hint = str(said.get("hint", failed.hint))
        raise failed
    return f"epoch {said.get('epoch')} serves: {said.get('binary')}, pid {said.get('pid')}"


def _object(text: str) -> dict[str, object]:
    try:
        found = json.loads(text)
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def wait_until_ready(url: str, *, deadline: float, request_timeout: float, period: float) -> None:
    """Return after the first 200. Raises NotAnswered, with the last reason, after ``deadline`` seconds."""
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname:
        raise BadSetting("--url", url, "not an http URL")
    path = f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
    target = http1.Target(parts.hostname, parts.port or 80, path)
    asyncio.run(_wait(target, deadline, request_timeout, period))


async def _wait(
    target: http1.Target, deadline: float, request_timeout: float, period: float
) -> None:
    last = "not asked yet"
    try:
        async with asyncio.timeout(deadline):
            while last:
                await asyncio.sleep(period)
                last = await _fault(target, request_timeout)
    except TimeoutError:
        raise NotAnswered(f"timeout waiting for Envoy proxy to become ready: {last}") from None


async def _fault(target: http1.Target, timeout: float) -> str:
    try:
        reply = await http1.ask(target, timeout=timeout)
    except http1.RequestFailed as error:
        return str(error)
    return "" if reply.status == 200 else f"HTTP status code {reply.status}"
