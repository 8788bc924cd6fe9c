# SPDX-License-Identifier: Apache-2.0
"""Who may do what on the admin endpoint. Pure. Source: DESIGN 4.10.

The unix socket's file mode says who may read. TCP on loopback is open to every process and, through a browser, to
every web page on this machine: there the token is asked for always, the Host must be ours (a page that rebinds its
name to 127.0.0.1 has its own), and an Origin, where there is one, too. What changes something wants the token anywhere.
"""

from __future__ import annotations

import hmac
from typing import NamedTuple

from agent.httpd import Request

READING = ("GET", "HEAD")
_NAMES = ("127.0.0.1", "localhost", "[::1]")


class Refusal(NamedTuple):
    """An answer that is none."""

    status: int
    why: str


def refusal(request: Request, *, token: str, port: int, public: bool) -> Refusal | None:
    """Why not, if not. ``port`` is that of TCP; ``public`` says that the page holds no data at all."""
    over_tcp = bool(request.peer)
    if over_tcp:
        if not request.loopback:
            return Refusal(403, "only this machine may ask")
        ours = {f"{name}:{port}" for name in _NAMES}
        if request.header("host").lower() not in ours:
            return Refusal(403, "the Host is not this endpoint's")
        origin = request.header("origin").lower()
        if origin and origin not in {f"http://{each}" for each in ours}:
            return Refusal(403, "the Origin is not this endpoint's")
    if request.method in READING and (public or not over_tcp):
        return None
    return (
        None if _bears(request, token) else Refusal(401, "a token is needed: Authorization: Bearer")
    )


def _bears(request: Request, token: str) -> bool:
    scheme, _, given = request.header("authorization").partition(" ")
    same = hmac.compare_digest(given.strip().encode(), token.encode())
    return bool(token) and scheme.lower() == "bearer" and same
