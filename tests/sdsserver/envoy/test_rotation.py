# SPDX-License-Identifier: Apache-2.0
"""A real Envoy under load while its certificate and its roots are replaced: nothing fails that should work.

Held and new connections of HTTP/1.1, HTTP/2 and raw TCP, all with mutual TLS (``tests.support.mtls_envoy``).
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sdsserver.envoy.stage import (
    staged,
    under,
    until,
    until_refused,
    until_shown,
    until_welcome,
)
from tests.support.fakeca import FakeCa
from tests.support.testca import CA

LIFETIME, EARLY = 20.0, 0.9
"""Renewed every two seconds, with much time to spare: this machine may be busy."""


@pytest.mark.envoy
@pytest.mark.parametrize("rotations", [2, pytest.param(10, marks=pytest.mark.long)])
async def test_rotation_under_load_fails_no_request(short_tmp: Path, rotations: int) -> None:
    async with staged(short_tmp, FakeCa(lifetime=LIFETIME), grace_ratio=EARLY) as stage:
        load = stage.load(stage.fake.ca)
        async with under(load):
            await until(
                lambda: (
                    len(load.serials) == 3
                    and min(len(shown) for shown in load.serials.values()) > rotations
                )
            )
        print(load.figures())
        assert load.failed == []
        assert min(load.done.values()) > rotations
        assert stage.part.status()["last_error"] == ""


@pytest.mark.envoy
async def test_roots_rotate_with_an_overlap(short_tmp: Path) -> None:
    """The old root, then both, then a leaf of the new one, then the new one alone."""
    old, new = CA("old root"), CA("new root")
    both = old.certificate + new.certificate
    async with staged(short_tmp, FakeCa(ca=old, lifetime=LIFETIME), grace_ratio=EARLY) as stage:
        of_old, of_new = stage.load(old, roots=both), stage.load(new, roots=both)
        async with under(of_old):
            with pytest.raises((OSError, EOFError)):
                await of_new.tcp()
            stage.push_anchors(old, new)
            await until_welcome(of_new.tcp)
            async with under(of_new):
                await until_shown(of_old, of_new, other_than=set())
                stage.fake.ca = new
                await stage.until_served_by(new)
                seen = {one for shown in of_old.serials.values() for one in shown}
                await until_shown(of_old, of_new, other_than=seen)
        stage.push_anchors(new)
        await until_refused(of_old.tcp)
        after = stage.load(new)
        async with under(after):
            await until_shown(after, other_than=set())
        for load in (of_old, of_new, after):
            print(load.figures())
            assert load.failed == []
