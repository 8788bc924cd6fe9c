# SPDX-License-Identifier: Apache-2.0
"""Whether the kernel brings this pod's traffic to Envoy: a connection finds out, without privilege. Effects only.

The proxy's own user calls the pod's address at a port where nobody listens. With the rules of istio-iptables that call
reaches Envoy's inbound listener and is accepted; without them the kernel refuses it. Nothing is sent. For any other
user such a call passes by the proxy (spec/agent.md 10.2, OUTPUT over lo), so then nothing can be said.
Asked only when somebody wants to know, and not more often than every LOOK_EVERY. Peer: the validation of
istio-iptables, which stands in the proxy's place; this one works beside a running proxy.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
from dataclasses import dataclass
from enum import StrEnum

import mesh.log
from mesh import ports
from mesh.clock import Clock

log = mesh.log.get()

LOOK_EVERY = 30.0
"""Seconds for which an answer holds."""
TIMEOUT = 1.0
"""Of one connection, to this machine."""
LOOPBACK = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Verdict(StrEnum):
    """What is known."""

    OFF = "off"
    """None is wanted: interception mode NONE."""
    CAPTURED = "captured"
    NOT_CAPTURED = "not captured"
    UNKNOWN = "not known"


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureProbe:
    """What to call, and as whom."""

    wanted: bool
    address: str
    """The pod's own."""
    listener: int = ports.INBOUND_CAPTURE
    uid: int = ports.PROXY_UID

    async def ask(self) -> tuple[Verdict, str]:
        """What is known, and why not more."""
        if not self.wanted:
            return Verdict.OFF, "interception mode is NONE"
        if os.geteuid() != self.uid:
            why = f"only user {self.uid} can see it from inside; this process is {os.geteuid()}"
            return Verdict.UNKNOWN, why
        family = socket.AF_INET6 if ":" in self.address else socket.AF_INET
        if fault := await _connect(family, LOOPBACK[family], self.listener):
            return Verdict.UNKNOWN, f"port {self.listener} of this pod: {fault}"
        return await self._call(family)

    async def _call(self, family: socket.AddressFamily) -> tuple[Verdict, str]:
        with socket.socket(family, socket.SOCK_STREAM) as held:
            try:
                held.bind((self.address, 0))  # held, so that nobody else comes to listen there
            except OSError as error:
                return Verdict.UNKNOWN, f"{self.address}: {error.strerror}"
            fault = await _connect(family, self.address, held.getsockname()[1])
        if not fault:
            return Verdict.CAPTURED, ""
        refused = fault == os.strerror(errno.ECONNREFUSED)
        return (Verdict.NOT_CAPTURED if refused else Verdict.UNKNOWN), fault


class Captured:
    """The latest answer, asked again when it is old."""

    def __init__(self, probe: CaptureProbe, clock: Clock) -> None:
        self._probe = probe
        self._clock = clock
        self._asked = 0.0
        self._verdict = Verdict.UNKNOWN
        self._why = "not asked yet"

    async def status(self) -> dict[str, object]:
        """Verdict, reason and when."""
        now = self._clock.now()
        if not self._asked or now - self._asked >= LOOK_EVERY:
            self._asked = now
            before = self._verdict
            self._verdict, self._why = await self._probe.ask()
            if self._verdict is Verdict.NOT_CAPTURED is not before:
                log.warning("traffic of this pod passes by envoy", address=self._probe.address)
        return {"verdict": str(self._verdict), "why": self._why, "at": self._asked}


async def _connect(family: socket.AddressFamily, host: str, port: int) -> str:
    """Why no connection came about; empty: one did."""
    loop = asyncio.get_running_loop()
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        try:
            async with asyncio.timeout(TIMEOUT):
                await loop.sock_connect(sock, (host, port))
        except TimeoutError:
            return f"no answer within {TIMEOUT:g} s"
        except OSError as error:
            return os.strerror(error.errno) if error.errno else str(error)
    return ""
