# SPDX-License-Identifier: Apache-2.0
"""A real Envoy while the CA is away, or refuses the token that we have: what is valid serves on, and all heals by itself."""

from __future__ import annotations

import base64
import json
import os
import re
import time
from pathlib import Path

import pytest

from sdsserver.credentials import token_expiry
from tests.sdsserver.envoy.stage import (
    Stage,
    staged,
    under,
    until,
    until_refused,
    until_shown,
    until_welcome,
)
from tests.support.fakeca import FakeCa, Seen
from tests.support.sdsclient import channel, open_stream


async def refusal(stage: Stage, name: str) -> str:
    """What a new SDS client is told."""
    async with channel(str(stage.folder / "socket")) as made:
        stream = open_stream(made)
        await stream.send([name])
        return (await stream.error())[1]


@pytest.mark.envoy
@pytest.mark.long
async def test_a_ca_that_is_down_for_three_lifetimes(short_tmp: Path) -> None:
    lifetime, spare = 10.0, 1.5
    async with staged(short_tmp, FakeCa(lifetime=lifetime), grace_ratio=0.2) as stage:
        load = stage.load(stage.fake.ca)
        before = await until_welcome(load.tcp)
        stage.fake.down = True
        dies = int(str(stage.part.status()["expires"]))
        async with under(load):
            await until(lambda: time.time() > dies - spare)
        assert load.failed == []
        assert load.serials["TCP"] == {before}
        await until_refused(stage.load(stage.fake.ca).tcp)
        assert time.time() > dies
        for name in ("default", "ROOTCA"):
            assert f"failed to generate secret for {name}" in await refusal(stage, name)
        left = re.search(
            r"^istio_agent_cert_expiry_seconds.* (-\S+)$", stage.part.metrics(), re.MULTILINE
        )
        assert left, stage.part.metrics()
        await until(lambda: time.time() > dies + 2 * lifetime)
        assert "unavailable" in str(stage.part.status()["last_error"])
        asked = len(stage.fake.calls)
        stage.fake.down, back = False, time.monotonic()
        assert await until_welcome(stage.load(stage.fake.ca).tcp) != before
        print(f"asked {asked} times in vain; served again {time.monotonic() - back:.1f} s after")
        assert stage.part.status()["last_error"] == ""


def jwt(ends: float) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"exp": ends}).encode()).decode().rstrip("=")
    return f"head.{claims}.signature"


def accepts(seen: Seen) -> bool:
    ends = token_expiry(seen.token)
    return ends is None or ends > time.time()


def replace(file: Path, text: str) -> None:
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    os.replace(fresh, file)


@pytest.mark.envoy
async def test_a_token_that_expired_and_was_renewed(short_tmp: Path) -> None:
    """The file is read at each attempt: the first attempt after the token was replaced is taken."""
    fake = FakeCa(lifetime=30.0, accept=accepts)
    async with staged(short_tmp, fake, grace_ratio=0.9) as stage:
        load = stage.load(fake.ca)
        async with under(load):
            replace(stage.token, jwt(time.time() + 2))
            await until(lambda: "the token expired" in str(stage.part.status()["last_error"]))
            await until_shown(load, other_than=set())
            seen = set().union(*load.serials.values())
            good = jwt(time.time() + 600)
            replace(stage.token, good)
            await until(lambda: stage.part.status()["last_error"] == "")
            await until_shown(load, other_than=seen)
        print(load.figures())
        assert load.failed == []
        refused = [n for n, call in enumerate(fake.calls) if call.token not in {"first", good}]
        assert fake.calls[refused[-1] + 1].token == good
