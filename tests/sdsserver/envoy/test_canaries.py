# SPDX-License-Identifier: Apache-2.0
"""A whole agent whose token and keys are known: through failures, rotations and its end nothing that it tells has them.

The CA repeats the token in its refusals, as careless servers do. Everything is logged (``all:debug``). The keys are
those that an SDS client gets, line by line of their PEM.
"""

from __future__ import annotations

import asyncio
import os
import resource
import stat
import tarfile
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from agent.admin.api import PAGES, PREFIX
from ctl import bundle
from ctl.agent import AgentApi
from mesh import paths
from tests.sdsserver.envoy.rig import LOOPBACK, Rig, rig
from tests.sdsserver.envoy.stage import CLIENT, until, until_welcome
from tests.support.fakeca import FakeCa, Seen
from tests.support.mtls_envoy import MtlsLoad
from tests.support.sdsclient import channel, open_stream

JWT, OPAQUE = (
    "eyJhbGciOiJub25lIn0.eyJjYW5hcnkiOiJjYW5hcnkifQ.canary-of-a-token",
    "canary-opaque-token",
)
TOKENS = (JWT, OPAQUE, "canary-of-a-token")


class Talkative(FakeCa):
    """Refuses with the credential in its words, as long as ``refuses``."""

    refuses = True

    def words(self, seen: Seen) -> str:
        return f"token {seen.token} is not known here; authorization: Bearer {seen.token}"


class Keys:
    """Private keys that were served, and what would betray one."""

    def __init__(self) -> None:
        self.pems: set[bytes] = set()

    @property
    def lines(self) -> set[bytes]:
        """The lines of their base64 that are a key's alone: headers and algorithm names are everybody's."""
        bodies = [pem.splitlines()[1:-1] for pem in self.pems]
        return {line for body in bodies for line in body if len(line) >= 40}

    async def follow(self, socket: Path) -> None:
        """Keep what an SDS client gets, rotation by rotation, and refuse one of them."""
        async with channel(str(socket)) as made:
            stream = open_stream(made)
            await stream.send(["default"])
            while True:
                found = await stream.receive()
                self.pems.add(found["default"].tls_certificate.private_key.inline_bytes)
                if len(self.pems) == 1:
                    await stream.send(
                        ["default"], nonce=stream.nonce, version="", error="refused by a test"
                    )
                else:
                    await stream.ack(["default"])


def betrayed(where: str, content: bytes, keys: Keys) -> list[str]:
    """Which canaries are in it."""
    found = [f"{where}: {token}" for token in TOKENS if token.encode() in content]
    return found + [f"{where}: a key" for line in keys.lines if line in content]


async def _pages(made: Rig, api: AgentApi) -> AsyncIterator[tuple[str, bytes]]:
    for page in PAGES:
        if page.method == "GET" and page.path.startswith(PREFIX) and "event" not in page.kind:
            name = page.path.removeprefix(f"{PREFIX}/")
            yield name, (await asyncio.to_thread(api.text, name)).encode()
    for path in (
        "/healthz/ready?verbose",
        "/stats/prometheus",
        "/debug/ndsz",
        "/debug/pprof/cmdline",
    ):
        yield path, (await made.made.ask(path))[1].encode()
    for path in ("/config_dump?include_eds", "/certs", "/server_info"):
        yield path, (await made.made.ask(path, port=made.made.admin))[1].encode()


def _files(folder: Path) -> Iterable[Path]:
    for path in folder.rglob("*"):
        if path.is_file() and path.name != "istio-token":
            yield path


def _process(pid: int) -> Iterable[tuple[str, bytes]]:
    for name in ("cmdline", "environ"):
        yield name, Path(f"/proc/{pid}/{name}").read_bytes()


@asynccontextmanager
async def followed(keys: Keys, socket: Path) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(keys.follow(socket))
        yield
        task.cancel()


@pytest.mark.envoy
@pytest.mark.parametrize(
    "token",
    [pytest.param(OPAQUE, id="opaque"), pytest.param(JWT, id="jwt", marks=pytest.mark.long)],
)
async def test_neither_tokens_nor_keys_are_told(short_tmp: Path, token: str) -> None:
    fake, keys, leaks = Talkative(lifetime=40.0), Keys(), list[str]()
    fake.accept = lambda _: not fake.refuses
    async with fake.serve(tls=fake.ca.issue(LOOPBACK)), rig(short_tmp) as made:
        home = made.made.directory
        (home / paths.JWT).write_text(token)
        variables = {"SECRET_GRACE_PERIOD_RATIO": "0.95", "PILOT_ADMIN_ADDR": ""}
        made.start_with(fake, flags=("--log_output_level", "all:debug"), **variables)
        await until(lambda: "certificate not issued" in made.made.log)
        fake.refuses = False
        await made.made.ready()
        socket = home / paths.WORKLOAD_SOCKET_DIR / paths.WORKLOAD_SOCKET_NAME
        async with followed(keys, socket):
            await until(lambda: len(keys.pems) >= 2)
            fake.down = True
            await until(lambda: "unavailable" in made.made.log)
            fake.down, fake.refuses = False, True
            await until(lambda: made.made.log.count("unauthenticated") >= 2)
            fake.refuses = False
            await until(lambda: len(keys.pems) >= 4)
            await until_welcome(MtlsLoad(made.envoy, fake.ca.issue(CLIENT)).http1)
        assert {seen.token for seen in fake.calls} == {token}, "the canary was not shown at all"
        assert len(keys.lines) >= 4, "no key to look for"

        assert made.made.agent is not None
        api = AgentApi(unix=str(home / "etc/istio/proxy/ADMIN"))
        async for where, content in _pages(made, api):
            assert content, where
            leaks += betrayed(where, content, keys)
        await asyncio.to_thread(bundle.write, api, str(short_tmp / "bundle.tar.gz"), 0.0)
        with tarfile.open(short_tmp / "bundle.tar.gz") as archive:
            for entry in archive.getmembers():
                if (file := archive.extractfile(entry)) is not None:
                    leaks += betrayed(f"bundle {entry.name}", file.read(), keys)
        for pid in (made.made.agent.pid, *made.made.envoys()):
            for name, content in _process(pid):
                leaks += betrayed(f"{name} of {pid}", content, keys)
        os.kill(made.made.agent.pid, 6)  # SIGABRT: what a fault in a library comes to
        await made.made.ended()
        assert "unauthenticated" in made.made.log
        leaks += betrayed("log", made.made.log.encode(), keys)
        for path in _files(home):
            leaks += betrayed(str(path.relative_to(home)), path.read_bytes(), keys)
            assert path.name != "core"
        assert leaks == []


@pytest.mark.envoy
async def test_who_may_dump_and_what_others_may_read(short_tmp: Path) -> None:
    """Envoy's limit of core dumps is the one that the agent was started with; what we write is ours to read."""
    fake = FakeCa()
    async with fake.serve(tls=fake.ca.issue(LOOPBACK)), rig(short_tmp) as made:
        made.start_with(fake)
        await made.made.ready()
        assert made.made.agent is not None
        before = resource.getrlimit(resource.RLIMIT_CORE)
        agent = resource.prlimit(made.made.agent.pid, resource.RLIMIT_CORE)
        assert agent == (1 if before[1] else before[0], before[1])
        for pid in made.made.envoys():
            assert resource.prlimit(pid, resource.RLIMIT_CORE) == before
        state = made.made.directory / "state"
        assert list(_files(state))
        for path in [state, *_files(state)]:
            assert not stat.S_IMODE(path.stat().st_mode) & 0o077, path
