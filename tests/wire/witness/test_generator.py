# SPDX-License-Identifier: Apache-2.0
"""Random scripts come from their seed alone, and a few of them have everything."""

from __future__ import annotations

from tests.wire.witness.random_scripts import EDGES, FAR, PREFIX, random_script
from tests.wire.witness.script import Do, Kind, Step, parse_plan, plan_text
from tests.wire.witness.test_random_scripts import FEW

SCRIPTS = [random_script(seed) for seed in range(FEW)]
CALLS = [call for script in SCRIPTS for call in script.calls]


def test_a_seed_tells_all() -> None:
    assert [random_script(seed) for seed in range(FEW)] == SCRIPTS


def test_few_scripts_have_everything() -> None:
    steps = [step for call in CALLS for step in (*call.client, *call.server)]
    assert {call.kind for call in CALLS} == set(Kind)
    assert {step.do for step in steps} == set(Do) - {Do.GATE}
    assert any(call.hopeless for call in CALLS)
    assert any(call.timeout == FAR for call in CALLS)
    assert any(len(script.calls) > 1 for script in SCRIPTS)
    sizes = {size for step in steps for size in step.sizes}
    assert sizes >= {0, *(edge - PREFIX for edge in EDGES)}
    ends = [step for step in steps if step.do is Do.END]
    assert {bool(step.code) for step in ends} == {True, False}


def said(steps: tuple[Step, ...]) -> int:
    return sum(len(step.sizes) for step in steps)


def heard(steps: tuple[Step, ...]) -> int:
    return sum(step.count for step in steps)


def test_servers_that_end_while_the_client_still_sends_are_among_them() -> None:
    assert any(said(call.client) > heard(call.server) for call in CALLS)
    assert any(said(call.server) > heard(call.client) for call in CALLS)


def test_a_plan_travels_as_text() -> None:
    for call in CALLS:
        text = plan_text(call.server)
        assert text.isascii()
        assert tuple(parse_plan(text)) == call.server
