# SPDX-License-Identifier: Apache-2.0
"""What the admin endpoint said, as a person reads it in a terminal. Pure: documents in, text out.

Everything is taken as it may come: a field that is missing is a dash, never an error.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

NOTHING = "-"


def status(told: Mapping[str, Any], now: float) -> str:
    """One look: ready or why not, who it is, what runs, what came."""
    ready = told.get("ready", {})
    secrets, xds, envoy = (told.get(part, {}) for part in ("secrets", "xds", "envoy"))
    pending = [step for step, took in told.get("started", {}).items() if took is None]
    facts = [
        ("ready", "yes" if ready.get("ready") else f"no: {ready.get('fault') or 'not asked yet'}"),
        ("waits for", ", ".join(pending) or NOTHING),
        ("node", told.get("node")),
        ("state", told.get("state")),
        ("envoy", _envoy(envoy)),
        ("identity", secrets.get("identity")),
        ("certificate", _left(secrets.get("expires"), now)),
        ("control plane", _plane(xds)),
        ("capture", _verdict(told.get("capture", {}))),
    ]
    return f"{_pairs(facts)}\n{types(xds.get('types', {}), now)}"


def types(told: Mapping[str, Mapping[str, Any]], now: float) -> str:
    """What came of each type of xDS."""
    head = ("TYPE", "VERSION", "FROM", "AGE", "BYTES", "ACCEPTED", "REFUSED", "LAST REFUSAL")
    rows = [
        (
            name,
            each.get("version"),
            each.get("source"),
            _age(each.get("at"), now),
            each.get("bytes"),
            each.get("acknowledged"),
            each.get("refused"),
            each.get("lastError"),
        )
        for name, each in sorted(told.items())
    ]
    return table(head, rows)


def changed(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """What somebody set."""
    return [row for row in rows if row.get("source") != "default"]


def settings(rows: Iterable[Mapping[str, Any]]) -> str:
    """Each setting with its value and where that came from; defaults last."""
    ordered = sorted(rows, key=lambda row: (row.get("source") == "default", str(row.get("name"))))
    return table(
        ("NAME", "VALUE", "FROM"),
        [(r.get("name"), r.get("value"), r.get("source")) for r in ordered],
    )


def nacks(rows: Sequence[Mapping[str, Any]]) -> str:
    """What Envoy refused, with its words."""
    if not rows:
        return "nothing was refused\n"
    return table(
        ("TYPE", "REFUSED", "LAST REASON"),
        [(row.get("type"), row.get("refused"), row.get("error")) for row in rows],
    )


def levels(told: Mapping[str, Any]) -> str:
    """Log levels by scope."""
    return table(("SCOPE", "LEVEL"), sorted(told.items()))


def table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """Columns as wide as what stands in them; the last is not padded."""
    lines = [head, *([_cell(value) for value in row] for row in rows)]
    widths = [max(len(line[at]) for line in lines) for at in range(len(head))]
    return "".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        + "\n"
        for line in lines
    )


def _cell(value: object) -> str:
    text = NOTHING if value is None or value == "" else str(value)
    # what Envoy or a control plane said never moves the cursor or breaks a row
    return "".join(sign if sign.isprintable() else " " for sign in text)


def _pairs(facts: Iterable[tuple[str, object]]) -> str:
    return "".join(f"{name + ':':<15}{_cell(value)}\n" for name, value in facts)


def _envoy(told: Mapping[str, Any]) -> str:
    words = [str(told.get("state", "not running"))]
    words += [f"{name} {told[name]}" for name in ("version", "pid", "restartEpoch") if name in told]
    return ", ".join(words)


def _plane(told: Mapping[str, Any]) -> str:
    return f"{told.get('upstream', NOTHING)} (configuration from {told.get('source', NOTHING)})"


def _verdict(told: Mapping[str, Any]) -> str:
    why = told.get("why")
    return f"{told.get('verdict', NOTHING)}{f': {why}' if why else ''}"


def _age(at: float | None, now: float) -> str:
    return f"{max(0.0, now - at):.0f} s" if at else NOTHING


def _left(expires: float | None, now: float) -> str:
    if not expires:
        return "none"
    left = expires - now
    return f"valid for {left:.0f} s" if left > 0 else f"EXPIRED {-left:.0f} s ago"
