# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from agent.admin.timeline import KEPT, Timeline, last_nack, nacks


def push(responses: int, acknowledged: int, refused: int = 0, **more: Any) -> dict[str, Any]:
    counts = {"responses": responses, "acknowledged": acknowledged, "refused": refused}
    return {**counts, "bytes": 9, "at": 1.0, "version": "v1", "source": "store", **more}


def test_changes_are_entries() -> None:
    line = Timeline()
    line.look({"CDS": push(1, 0)}, 1.0)
    line.look({"CDS": push(1, 0)}, 2.0)
    line.look({"CDS": push(1, 1), "LDS": push(2, 1, 1, lastError="bad")}, 3.0)
    first, second, third = line.entries()
    assert first == {
        "type": "CDS",
        "seen": 1.0,
        "responses": 1,
        "acknowledged": 0,
        "refused": 0,
        "bytes": 9,
        "at": 1.0,
        "version": "v1",
        "source": "store",
    }
    assert second == {"type": "CDS", "seen": 3.0, "responses": 0, "acknowledged": 1, "refused": 0}
    assert (third["type"], third["responses"], third["error"]) == ("LDS", 2, "bad")


def test_only_the_latest_are_kept() -> None:
    line = Timeline()
    for number in range(KEPT + 10):
        line.look({"EDS": push(number + 1, 0)}, float(number))
    assert len(line.entries()) == KEPT
    assert line.entries()[-1]["seen"] == KEPT + 9


def test_refusals() -> None:
    types = {"CDS": push(1, 1), "LDS": push(2, 1, 1, lastError="bad", refusedAt=7.0)}
    assert last_nack({"CDS": push(1, 1)}) is None
    assert nacks(types) == [{"type": "LDS", "refused": 1, "error": "bad", "at": 7.0}]
    types["RDS"] = push(1, 0, 1, lastError="worse", refusedAt=9.0)
    assert (last_nack(types) or {})["error"] == "worse"
