# SPDX-License-Identifier: Apache-2.0
"""Where keys come from: our file, a rule's own set, a web server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from aiohttp import web

from mesh.errors import BadSetting
from tests.support.clock import FakeClock
from tests.upstream.test_tokens import CLAIMS, NOW, jwks, rs256
from upstream import issuers, tokens
from upstream.options import AuthOptions, JwtRule


async def test_which_issuers_are_believed(tmp_path: Path) -> None:
    rule = JwtRule(issuer="https://test", jwks=jwks())
    nobody = AuthOptions()
    assert issuers.sources(nobody, str(tmp_path), FakeClock()) == ()
    both = AuthOptions(rule=rule, development=True)
    found = issuers.sources(both, str(tmp_path), FakeClock())
    assert [(await one.issuer()).name for one in found] == [
        "https://test",
        tokens.DEVELOPMENT_ISSUER,
    ]


def test_rule_with_a_bad_key_set(tmp_path: Path) -> None:
    options = AuthOptions(rule=JwtRule(issuer="https://test", jwks="{}"))
    with pytest.raises(BadSetting, match="JWT_RULE"):
        issuers.sources(options, str(tmp_path), FakeClock())


class Web:
    """A key server that may be broken."""

    def __init__(self) -> None:
        self.url = ""
        self.works = True
        self.asked = 0

    async def keys(self, _: web.Request) -> web.Response:
        self.asked += 1
        return web.Response(text=jwks() if self.works else "nonsense")

    async def configuration(self, _: web.Request) -> web.Response:
        return web.json_response({"jwks_uri": f"{self.url}/keys"})


@pytest.fixture
async def server() -> AsyncIterator[Web]:
    pages = Web()
    app = web.Application()
    app.router.add_get("/keys", pages.keys)
    app.router.add_get("/.well-known/openid-configuration", pages.configuration)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    pages.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield pages
    await runner.cleanup()


async def test_fetched_once_while_fresh(server: Web) -> None:
    clock = FakeClock()
    keys = issuers.FetchedKeys(JwtRule(issuer="https://test", jwks_uri=f"{server.url}/keys"), clock)
    for _ in range(3):
        assert tokens.judge(rs256(CLAIMS), await keys.issuer(), now=NOW)
    assert server.asked == 1
    await clock.advance(issuers.FRESH)
    await keys.issuer()
    assert server.asked == 2


async def test_fetched_again_for_an_unknown_key_but_not_for_each(server: Web) -> None:
    clock = FakeClock()
    keys = issuers.FetchedKeys(JwtRule(issuer="https://test", jwks_uri=f"{server.url}/keys"), clock)
    first = await keys.issuer()
    assert await keys.issuer(again=True) is first
    assert server.asked == 1
    await clock.advance(issuers.RETRY)
    assert await keys.issuer(again=True) is first
    assert server.asked == 2


async def test_those_who_come_during_a_fetch_wait_for_it(server: Web) -> None:
    keys = issuers.FetchedKeys(
        JwtRule(issuer="https://test", jwks_uri=f"{server.url}/keys"), FakeClock()
    )
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(keys.issuer(), name=str(n)) for n in range(5)]
    assert len({id(task.result()) for task in tasks}) == 1
    assert server.asked == 1


async def test_rule_without_audiences_takes_ours(tmp_path: Path) -> None:
    options = AuthOptions(rule=JwtRule(issuer="https://test", jwks=jwks()))
    (found,) = issuers.sources(options, str(tmp_path), FakeClock())
    assert (await found.issuer()).audiences == ("istio-ca",)


async def test_found_through_the_issuer(server: Web) -> None:
    keys = issuers.FetchedKeys(JwtRule(issuer=server.url), FakeClock())
    assert len((await keys.issuer()).keys) == 2


async def test_old_keys_serve_while_new_ones_cannot_be_had(server: Web) -> None:
    clock = FakeClock()
    keys = issuers.FetchedKeys(JwtRule(issuer="https://test", jwks_uri=f"{server.url}/keys"), clock)
    server.works = False
    with pytest.raises(tokens.BadToken, match="cannot be had"):
        await keys.issuer()
    server.works = True
    with pytest.raises(tokens.BadToken):
        await keys.issuer()  # not asked again so soon
    assert server.asked == 1
    await clock.advance(issuers.RETRY)
    good = await keys.issuer()
    server.works = False
    await clock.advance(issuers.FRESH)
    assert await keys.issuer() == good
