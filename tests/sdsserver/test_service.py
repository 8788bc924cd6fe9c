# SPDX-License-Identifier: Apache-2.0
"""The SDS service driven by a grpcio client over its unix socket."""

from __future__ import annotations

import asyncio
import os
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import pytest

from mesh.errors import SigningFailed
from mesh.identity import Identity
from sdsserver.metrics import Metrics
from sdsserver.options import SecretOptions
from sdsserver.secret import Secret
from sdsserver.service import UNANSWERED, SdsService
from tests.support.clock import FakeClock
from tests.support.sdsclient import SERVICE, EndOfStream, SdsStream, channel, open_stream
from wire.proto.discovery_pb2 import DiscoveryRequest, DiscoveryResponse

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")


class World:
    """A running service over a table of secrets."""

    def __init__(self, tmp: Path, **options: Any) -> None:
        self.options = SecretOptions(
            **{"identity": ME, "ca": None, "socket_dir": str(tmp), "crl": "", **options}
        )
        self.metrics = Metrics()
        self.secrets = {
            "default": Secret("default", chain=b"C1", key=b"K1"),
            "ROOTCA": Secret("ROOTCA", root=b"R1"),
        }
        self.clock = FakeClock(auto=True)
        self.service = SdsService(self.options, self.generate, self.clock, self.metrics)

    async def generate(self, name: str) -> Secret:
        if name not in self.secrets:
            raise SigningFailed("fake", "no such secret")
        return self.secrets[name]

    def change(self, secret: Secret) -> None:
        self.secrets[secret.name] = secret
        self.service.on_update(secret.name)

    @asynccontextmanager
    async def client(self) -> AsyncIterator[grpc.aio.Channel]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.service.run())
            await self.service.ready.wait()
            async with channel(self.options.socket) as made:
                yield made
            task.cancel()


async def quiet(stream: SdsStream, names: list[str]) -> None:
    """Nothing is under way: an unanswered request, then one that is answered, gives just one answer."""
    await stream.send([*names, "ROOTCA"] if "ROOTCA" not in names else names)
    await stream.receive()


async def test_pairs_and_roots_as_envoy_reads_them(short_tmp: Path) -> None:
    async with World(short_tmp).client() as made:
        stream = open_stream(made)
        found = await stream.ask("default", "ROOTCA")
        pair = found["default"].tls_certificate
        assert pair.certificate_chain.inline_bytes == b"C1"
        assert pair.private_key.inline_bytes == b"K1"
        assert found["ROOTCA"].validation_context.trusted_ca.inline_bytes == b"R1"
        assert not found["ROOTCA"].validation_context.HasField("crl")
        assert stream.version.endswith("/1")
        assert uuid.UUID(stream.nonce).version == 4
        assert await stream.end() == grpc.StatusCode.OK


async def test_a_push_reaches_those_who_watch_the_name(short_tmp: Path) -> None:
    world = World(short_tmp)
    async with world.client() as made:
        pairs, roots = open_stream(made), open_stream(made)
        await pairs.ask("default")
        await roots.ask("ROOTCA")
        world.change(Secret("default", chain=b"C2", key=b"K2"))
        found = await pairs.receive()
        assert list(found) == ["default"]
        assert found["default"].tls_certificate.certificate_chain.inline_bytes == b"C2"
        world.change(Secret("ROOTCA", root=b"R2"))
        assert list(await roots.receive()) == ["ROOTCA"]
        assert world.service.status()["streams"] == 2
        await pairs.end()
        await roots.end()


async def test_only_added_names_are_answered(short_tmp: Path) -> None:
    async with World(short_tmp).client() as made:
        stream = open_stream(made)
        await stream.send(["default"])
        await stream.receive()
        await stream.send(["default", "ROOTCA"], nonce=stream.nonce, version=stream.version)
        assert list(await stream.receive()) == ["ROOTCA"]
        await stream.end()


async def test_a_refusal_is_counted_and_not_answered(short_tmp: Path) -> None:
    world = World(short_tmp)
    async with world.client() as made:
        stream = open_stream(made)
        await stream.send(["default"])
        await stream.receive()
        await stream.send(["default"], nonce=stream.nonce, error="bad key")
        await stream.send(["default"], nonce="stale")
        await quiet(stream, ["default"])
        assert world.metrics.streams.rejects == 1
        assert world.metrics.streams.expired_nonces == 1
        await stream.end()


async def test_what_cannot_be_made_ends_the_stream(short_tmp: Path) -> None:
    world = World(short_tmp)
    async with world.client() as made:
        stream = open_stream(made)
        await stream.send(["unknown"])
        code, text = await stream.error()
        assert code == grpc.StatusCode.UNKNOWN
        assert "failed to generate secret for unknown" in text
        again = open_stream(made)
        await again.ask("default")
        del world.secrets["default"]
        world.service.on_update("default")
        with pytest.raises((EndOfStream, grpc.aio.AioRpcError)):
            await again.receive()
        assert "failed to generate secret" in (await again.error())[1]
        assert world.metrics.internal_errors == 2


async def test_nobody_is_served_without_a_node(short_tmp: Path) -> None:
    async with World(short_tmp).client() as made:
        stream = open_stream(made)
        await stream.send(["default"], node="")
        assert await stream.error() == (
            grpc.StatusCode.INVALID_ARGUMENT,
            "missing node information",
        )


async def test_garbage_ends_that_stream_only(short_tmp: Path) -> None:
    world = World(short_tmp)
    async with world.client() as made:
        good = open_stream(made)
        await good.ask("default")
        raw: Any = made.stream_stream
        bad = raw(f"{SERVICE}StreamSecrets")()
        await bad.write(b"\xff\xff\xff")
        assert await bad.code() == grpc.StatusCode.INTERNAL
        world.change(Secret("default", chain=b"C2", key=b"K2"))
        assert list(await good.receive()) == ["default"]
        await good.end()


@pytest.mark.parametrize("method", ["DeltaSecrets", "FetchSecrets", "Other"])
async def test_other_methods_are_refused_as_the_peer_does(short_tmp: Path, method: str) -> None:
    async with World(short_tmp).client() as made:
        call = made.unary_unary(
            SERVICE + method,
            request_serializer=DiscoveryRequest.SerializeToString,
            response_deserializer=DiscoveryResponse.FromString,
        )
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call(DiscoveryRequest())
        assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


async def test_a_revocation_list_is_named_while_it_exists(short_tmp: Path) -> None:
    crl = short_tmp / "crl.pem"
    world = World(short_tmp, crl=str(crl))
    async with world.client() as made:
        stream = open_stream(made)
        first = (await stream.ask("ROOTCA"))["ROOTCA"].validation_context
        crl.write_text("x")
        world.service.on_update("ROOTCA")
        second = (await stream.receive())["ROOTCA"].validation_context
        assert not first.HasField("crl")
        assert second.crl.filename == str(crl)
        await stream.end()


async def test_a_hundred_streams_get_the_push(short_tmp: Path) -> None:
    world = World(short_tmp)
    async with world.client() as made:
        streams = [open_stream(made) for _ in range(100)]
        for stream in streams:
            await stream.ask("default")
        world.change(Secret("default", chain=b"C2", key=b"K2"))
        for stream in streams:
            assert list(await stream.receive()) == ["default"]
            await stream.end()
    assert world.service.status()["streams"] == 0


async def test_only_admitted_users_are_served(
    short_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who was refused, and the setting that admits it, are said to the operator."""
    mine, stranger = os.geteuid(), frozenset({os.geteuid() + 1})
    async with World(short_tmp, allow_uids=stranger).client() as made:
        with pytest.raises(grpc.aio.AioRpcError):
            await open_stream(made).ask("default")
    said = capsys.readouterr().out
    assert f"uid={mine} pid={os.getpid()} " in said
    assert f"uid {mine} may not have secrets; PILOT_UDS_ALLOW={mine},... admits it" in said


async def test_a_socket_that_cannot_be_had_is_said_and_nothing_else_ends(
    short_tmp: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (short_tmp / "file").write_text("")
    world = World(short_tmp, socket_dir=str(short_tmp / "file"))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(world.service.run())
        while "not started" not in capsys.readouterr().out:
            await asyncio.sleep(0.01)
        assert not task.done()
        assert not world.service.ready.is_set()
        assert world.clock.monotonic() == 1000.0 + 31
        task.cancel()


async def test_a_member_of_an_admitted_group_is_served(short_tmp: Path) -> None:
    stranger, mine = frozenset({os.geteuid() + 1}), frozenset({os.getegid()})
    async with World(short_tmp, allow_uids=stranger, allow_gids=mine).client() as made:
        assert await open_stream(made).ask("default")


async def test_a_client_that_only_asks_is_held_back(short_tmp: Path) -> None:
    """Requests are taken as fast as they are answered, so none of this piles up here."""
    world = World(short_tmp)
    gate = asyncio.Event()

    async def slow(name: str) -> Secret:
        await gate.wait()
        return world.secrets["default"]

    world.service._generate = slow
    async with world.client() as made:
        stream = open_stream(made)
        for _ in range(3 * UNANSWERED):
            await stream.send(["default"])
        await asyncio.sleep(0.2)
        [held] = world.service._streams
        assert held._inbox.qsize() <= UNANSWERED
        gate.set()
        for _ in range(3 * UNANSWERED):
            await stream.receive()
        await stream.end()
