# SPDX-License-Identifier: Apache-2.0
"""Token and provisioned certificate of a workload, each failing in its turn: the other carries on, and Envoy's clients notice nothing."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

import pytest

from tests.sdsserver.envoy.stage import CLIENT, Stage, staged, under, until, until_shown
from tests.support.fakeca import FakeCa, Seen

Shown = tuple[str, bool]
"""A token, and whether there was a certificate."""
GOOD, STALE = "first", "stale"


def accepts(seen: Seen) -> bool:
    """As CAs do that look at the token first, and at the certificate only where there is none."""
    return seen.token == GOOD if seen.token else bool(seen.identities)


def renewals(fake: FakeCa) -> list[list[Shown]]:
    """What the attempts of each renewal showed: those of one have the same request."""
    by_request = groupby(fake.calls, key=lambda seen: seen.request.csr)
    return [[(seen.token, bool(seen.identities)) for seen in each] for _, each in by_request]


async def next_renewal(stage: Stage) -> list[Shown]:
    """Of the first renewal that begins from now on; the one behind it shows that it is whole."""
    known = len(renewals(stage.fake))
    await until(lambda: len(renewals(stage.fake)) >= known + 2)
    return renewals(stage.fake)[known]


@pytest.mark.envoy
@pytest.mark.long
async def test_each_credential_stands_in_for_the_other(short_tmp: Path) -> None:
    fake, certs = FakeCa(lifetime=20.0, accept=accepts), short_tmp / "machine"
    fake.ca.issue(CLIENT).write(certs)
    async with staged(short_tmp, fake, grace_ratio=0.9, provisioned=str(certs)) as stage:
        load = stage.load(fake.ca)
        async with under(load):
            assert await next_renewal(stage) == [(GOOD, True)]

            fake.ca.issue(CLIENT, begin=-100.0, lifetime=50.0).write(certs)  # over
            assert await next_renewal(stage) == [(GOOD, False)]

            fake.ca.issue(CLIENT).write(certs)
            stage.token.write_text(STALE)
            tried = [(STALE, True), (STALE, False), ("", True)]
            assert await next_renewal(stage) == tried
            assert await next_renewal(stage) == tried  # the first choice has its chance each time

            stage.token.write_text(GOOD)
            assert await next_renewal(stage) == [(GOOD, True)]

            stage.token.unlink()
            assert await next_renewal(stage) == [("", True)]
            seen = set().union(*load.serials.values())
            await until_shown(load, other_than=seen)
        print(load.figures())
        assert load.failed == []
        assert stage.part.status()["last_error"] == ""
