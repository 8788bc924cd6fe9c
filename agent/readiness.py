# SPDX-License-Identifier: Apache-2.0
"""Which parts of the start are done: one name each, marked once. Pure; the moment comes in as an argument.

Start-up is over when no name is pending. Traffic readiness is another question: ``agent.status.ready``.
"""

from __future__ import annotations

from collections.abc import Iterable


class Readiness:
    """The names that must be marked, and when each was."""

    def __init__(self, names: Iterable[str], *, started: float) -> None:
        self._started = started
        self._took: dict[str, float | None] = dict.fromkeys(names)

    def mark(self, name: str, now: float) -> None:
        """``name`` is done. Raises KeyError for a name that nobody announced; marking again changes nothing."""
        if self._took[name] is None:
            self._took[name] = now - self._started

    @property
    def pending(self) -> tuple[str, ...]:
        """Names not yet marked, in the order they were announced."""
        return tuple(name for name, took in self._took.items() if took is None)

    @property
    def done(self) -> bool:
        return not self.pending

    def status(self) -> dict[str, float | None]:
        """Seconds from the start until each name was marked; None while it is pending."""
        return {name: None if took is None else round(took, 3) for name, took in self._took.items()}
