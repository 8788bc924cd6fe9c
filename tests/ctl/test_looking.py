# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

from ctl import looking

TOLD: dict[str, Any] = {
    "node": "sidecar~10.0.0.1~web.shop~d",
    "state": "RUNNING",
    "ready": {"ready": False, "fault": "server is not live"},
    "started": {"bootstrap": 0.4, "secret": None},
    "envoy": {"pid": 7, "state": "LIVE", "version": "1.40"},
    "secrets": {"identity": "spiffe://a/ns/b/sa/c", "expires": 160},
    "capture": {"verdict": "not captured", "why": "refused"},
    "xds": {
        "source": "store",
        "upstream": "istiod:15012",
        "types": {
            "LDS": {
                "version": "7",
                "source": "store",
                "at": 40.0,
                "bytes": 10,
                "acknowledged": 1,
                "refused": 2,
                "lastError": "no such\ncluster\x1b[2J",
            }
        },
    },
}


def test_one_look_says_why_not() -> None:
    text = looking.status(TOLD, 100.0)
    lines = dict(line.split(":", 1) for line in text.splitlines()[:9])
    assert lines["ready"].strip() == "no: server is not live"
    assert lines["waits for"].strip() == "secret"
    assert lines["certificate"].strip() == "valid for 60 s"
    assert lines["control plane"].strip() == "istiod:15012 (configuration from store)"
    assert lines["capture"].strip() == "not captured: refused"
    assert lines["envoy"].strip() == "LIVE, version 1.40, pid 7"
    row = text.splitlines()[-1].split()
    assert row[:7] == ["LDS", "7", "store", "60", "s", "10", "1"]


def test_what_others_said_cannot_move_the_cursor() -> None:
    text = looking.status(TOLD, 100.0)
    assert "no such cluster [2J" in text
    assert "\x1b" not in text


def test_an_expired_certificate_shouts_and_nothing_is_a_dash() -> None:
    assert "EXPIRED 5 s ago" in looking.status({"secrets": {"expires": 95}}, 100.0)
    bare = looking.status({}, 0.0)
    assert "node:          -" in bare
    assert "certificate:   none" in bare


def test_settings_that_were_set_come_first() -> None:
    rows = [
        {"name": "A", "value": "1", "source": "default"},
        {"name": "B", "value": "", "source": "environment"},
    ]
    assert looking.settings(rows).splitlines() == [
        "NAME  VALUE  FROM",
        "B     -      environment",
        "A     1      default",
    ]
    assert looking.changed(rows) == rows[1:]


def test_refusals() -> None:
    assert looking.nacks([]) == "nothing was refused\n"
    assert "bad" in looking.nacks([{"type": "CDS", "refused": 1, "error": "bad"}])


def test_levels_in_order() -> None:
    assert looking.levels({"b": "info", "a": "debug"}).splitlines()[1:] == [
        "a      debug",
        "b      info",
    ]
