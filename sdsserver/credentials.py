# SPDX-License-Identifier: Apache-2.0
"""Which credential a CA is shown: token and certificate as the peer does, one alone when both are refused. Pure.

An expired token beside a good certificate, or the reverse, makes some CAs refuse both. The first choice is never
given up while it works: each request to the CA begins with it. Source: spec/agent.md 4.3, 7.9, 8.
"""

from __future__ import annotations

import base64
import json
from enum import Flag, auto
from typing import Any


class Shown(Flag):
    """What an attempt carries."""

    NOTHING = 0
    TOKEN = auto()
    CERTIFICATE = auto()
    BOTH = TOKEN | CERTIFICATE


class Choice:
    """The credentials of one request to the CA, from attempt to attempt."""

    def __init__(self) -> None:
        self._wanted = Shown.BOTH
        self._carried = Shown.NOTHING
        self._untried = [Shown.TOKEN, Shown.CERTIFICATE]
        """What may be shown alone once something was refused, in this order."""
        self._refused = False

    def carry(self, there: Shown) -> Shown:
        """Of the credentials that are there, those that this attempt carries."""
        self._carried = self._wanted & there
        return self._carried

    def on_refusal(self) -> bool:
        """The CA said no: whether another attempt would carry something else."""
        if self._wanted is Shown.BOTH and self._carried is not Shown.BOTH:
            return False
        self._refused = True
        self._untried = [each for each in self._untried if each is not self._wanted]
        if self._untried:
            self._wanted = self._untried[0]
        return bool(self._untried)

    def on_break(self) -> None:
        """The connection broke, perhaps because of the certificate: the next attempt goes without, then with it."""
        if not self._refused:
            self._wanted = Shown.TOKEN if self._carried is Shown.BOTH else Shown.BOTH


def token_expiry(token: str) -> float | None:
    """When a JSON web token ends, in seconds since the epoch; None when it does not say. Verifies nothing."""
    try:
        body = token.split(".")[1]
        claims: Any = json.loads(base64.urlsafe_b64decode(body + "=" * (-len(body) % 4)))
        return float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return None
