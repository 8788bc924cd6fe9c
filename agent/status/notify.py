# SPDX-License-Identifier: Apache-2.0
"""Tells systemd how we are: READY, STATUS, WATCHDOG, STOPPING over NOTIFY_SOCKET. Effects only.

READY is said once, when traffic may come; STATUS follows every change of the reason why not; WATCHDOG says that the
loop still turns. A manager that does not listen is lived without. Source: sd_notify(3).
"""

from __future__ import annotations

import socket
from collections.abc import Awaitable, Callable
from typing import NoReturn

import mesh.log
from mesh.clock import Clock

log = mesh.log.get()

LOOK_EVERY = 1.0
"""Seconds between two looks at how we are."""


class Notifier:
    """``run`` until cancelled; then STOPPING is said."""

    def __init__(
        self, path: str, *, watchdog: float, check: Callable[[], Awaitable[str]], clock: Clock
    ) -> None:
        self._address = "\0" + path[1:] if path.startswith("@") else path
        self._watchdog = watchdog
        self._check = check
        """Why traffic should not come; empty: it may."""
        self._clock = clock
        self._silent = False

    async def run(self) -> NoReturn:
        ready, said = False, "starting"
        self._say(f"STATUS={said}")
        period = min(LOOK_EVERY, self._watchdog / 2) if self._watchdog else LOOK_EVERY
        try:
            while True:
                fault = await self._check()
                if not fault and not ready:
                    ready = True
                    self._say("READY=1")
                if (status := fault or "ready") != said:
                    said = status
                    self._say(f"STATUS={status.splitlines()[0]}")
                if self._watchdog:
                    self._say("WATCHDOG=1")
                await self._clock.sleep(period)
        finally:
            self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sock:
                sock.sendto(text.encode(), self._address)
        except OSError as error:
            if not self._silent:
                self._silent = True
                log.warning("service manager does not listen", why=error.strerror or str(error))
