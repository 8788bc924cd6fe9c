# SPDX-License-Identifier: Apache-2.0
"""The client against the agent's own endpoint: socket, TCP with a token, and who is not there."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

import mesh.log
from ctl.agent import AgentApi, AgentSilent
from tests.support.admin import admin


async def test_the_socket_needs_no_token_to_read(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        told = await asyncio.to_thread(AgentApi(unix=given.socket).get, "status")
        assert told["node"].startswith("sidecar~")
        text = await asyncio.to_thread(AgentApi(unix=given.socket).text, "metrics")
        assert text.startswith("# TYPE istio_agent_x")


async def test_tcp_needs_it_and_a_change_does_anywhere(short_tmp: Path) -> None:
    before = mesh.log.levels()
    async with admin(short_tmp, tcp=True) as given:
        address = f"127.0.0.1:{given.server.port}"
        stranger = AgentApi(address=address)
        friend = AgentApi(address=address, token_file=str(given.token_file))
        with pytest.raises(AgentSilent, match="a token is needed"):
            await asyncio.to_thread(stranger.get, "status")
        assert (await asyncio.to_thread(friend.get, "status"))["state"] == "RUNNING"
        with pytest.raises(AgentSilent, match="a token is needed"):
            await asyncio.to_thread(
                AgentApi(unix=given.socket).post, "logs/levels", {"levels": "sds:debug"}
            )
        try:
            told = await asyncio.to_thread(friend.post, "logs/levels", {"levels": "sds:debug"})
            assert told["levels"]["sds"] == "debug"
        finally:
            mesh.log.configure(levels=before)


async def test_the_agents_own_reason_is_told(short_tmp: Path) -> None:
    async with admin(short_tmp) as given:
        friend = AgentApi(unix=given.socket, token_file=str(given.token_file))
        with pytest.raises(AgentSilent, match="loud"):
            await asyncio.to_thread(friend.post, "logs/levels", {"levels": "sds:loud"})
        with pytest.raises(AgentSilent, match="no such page"):
            await asyncio.to_thread(friend.get, "nothing")


def test_nobody_there_says_where_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(AgentSilent, match=r"no answer from .*ADMIN: No such file") as caught:
        AgentApi(unix=str(tmp_path / "ADMIN")).get("status")
    assert "--socket" in caught.value.hint
    with pytest.raises(AgentSilent, match="token cannot be read"):
        AgentApi(unix="x", token_file=str(tmp_path / "token")).get("status")
