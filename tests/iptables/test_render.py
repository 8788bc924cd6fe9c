# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from iptables.config import CaptureConfig
from iptables.plan import plan
from iptables.render import chains, checks, commands, restore, undo
from iptables.rules import Rule

JUMP = Rule("nat", "OUTPUT", ("-j", "ISTIO_OUTPUT"))
INNER = Rule("nat", "ISTIO_OUTPUT", ("-p", "tcp", "-j", "RETURN"))


def test_restore_creates_chains_that_are_only_jumped_to() -> None:
    assert restore([JUMP]) == "* nat\n-N ISTIO_OUTPUT\n-A OUTPUT -j ISTIO_OUTPUT\nCOMMIT\n"
    assert restore([]) == ""
    assert chains([JUMP, INNER]) == ("ISTIO_OUTPUT",)


def test_commands_and_checks() -> None:
    inserted = INNER._replace(position=2)
    assert [" ".join(words) for words in commands([JUMP, inserted])] == [
        "-t nat -A OUTPUT -j ISTIO_OUTPUT",
        "-t nat -N ISTIO_OUTPUT",
        "-t nat -I ISTIO_OUTPUT 2 -p tcp -j RETURN",
    ]
    assert checks([inserted]) == (("-t", "nat", "-C", "ISTIO_OUTPUT", "-p", "tcp", "-j", "RETURN"),)


def test_undo_deletes_jumps_before_their_targets() -> None:
    lines = [" ".join(words) for words in undo(plan(CaptureConfig(inbound_ports=("*",))).v4)]
    removed = lines.index("-t nat -X ISTIO_IN_REDIRECT")
    jumps = [i for i, line in enumerate(lines) if line.endswith("-j ISTIO_IN_REDIRECT")]
    assert jumps
    assert max(jumps) < removed
