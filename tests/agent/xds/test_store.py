# SPDX-License-Identifier: Apache-2.0
"""The store: what enters, what never does, how long it counts, and that it never takes the relay down."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from agent.xds.kept import Accepted
from agent.xds.options import StoreOptions
from agent.xds.store import LONGEST_WAIT, MAX_WAITING, Store
from tests.support.accepted import delta, sotw
from tests.support.clock import FakeClock
from tests.support.fakeads import resource
from wire import types
from wire.proto.discovery_pb2 import DeltaDiscoveryResponse, DiscoveryResponse, Resource
from wire.scan import Variant


def options(tmp: Path, **kwargs: object) -> StoreOptions:
    facts = {
        "directory": str(tmp / "state"),
        "node_id": "n",
        "trust_domain": "td",
        "quiet": 0.0,
        **kwargs,
    }
    return StoreOptions(**facts)  # type: ignore[arg-type]  # facts of the test


@asynccontextmanager
async def opened(settings: StoreOptions, clock: FakeClock | None = None) -> AsyncIterator[Store]:
    store = Store(settings, clock or FakeClock())
    await store.open()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(store.run())
        await asyncio.sleep(0)
        try:
            yield store
        finally:
            task.cancel()


async def names(store: Store) -> list[str]:
    return sorted((await store.shelf()).get(types.CLUSTER, {}))


async def test_delta_adds_and_removes(tmp_path: Path) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(delta("a", "b"))
        store.accept(delta("c", removed=("a",)))
        assert await names(store) == ["b", "c"]


async def test_full_state_replaces(tmp_path: Path) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(sotw("a", "b"))
        store.accept(sotw("c"))
        assert await names(store) == ["c"]


async def test_it_outlives_the_process(tmp_path: Path) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(delta("a", version="42"))  # written at the end, without a read
    async with opened(options(tmp_path)) as store:
        shelf = await store.shelf()
        assert shelf[types.CLUSTER]["a"].version == "42"
        assert shelf[types.CLUSTER]["a"].any == resource(types.CLUSTER, "a").SerializeToString()


async def test_old_rows_are_not_served(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(options(tmp_path, max_age=100.0), clock) as store:
        store.accept(delta("a"))
        assert await names(store) == ["a"]
        clock.jump(101)
        assert await names(store) == []
        store.accept(delta("b"))  # Envoy confirms its state of the type
        assert await names(store) == ["a", "b"]


async def test_key_material_stays_out(tmp_path: Path) -> None:
    poisoned = resource(types.CLUSTER, "k")
    poisoned.value += b"\x7a\x20-----BEGIN EC PRIVATE KEY-----xx"
    message = DiscoveryResponse(
        resources=[poisoned, resource(types.CLUSTER, "ok")], type_url=types.CLUSTER
    )
    async with opened(options(tmp_path)) as store:
        store.accept(Accepted(types.CLUSTER, Variant.SOTW, message.SerializeToString()))
        assert await names(store) == ["ok"]
        assert store.withheld == 1
    assert not any(b"PRIVATE KEY" in path.read_bytes() for path in (tmp_path / "state").iterdir())


async def test_unusable_directory_means_memory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    async with opened(options(tmp_path)) as store:
        assert store.in_memory
        store.accept(delta("a"))
        assert await names(store) == ["a"]


async def test_garbage_response_is_not_stored_and_nothing_breaks(tmp_path: Path) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(Accepted(types.CLUSTER, Variant.DELTA, b"\x12\xff\xff"))
        store.accept(delta("a"))
        assert await names(store) == ["a"]
        store.accept(delta("b"))
        assert "b" in await names(store)


async def test_disabled_store_is_empty(tmp_path: Path) -> None:
    async with opened(options(tmp_path, enabled=False)) as store:
        store.accept(delta("a"))
        assert await store.shelf() == {}


async def test_much_at_once_does_not_wait_for_quiet(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(options(tmp_path, quiet=3600.0), clock) as store:
        for name in "abc":
            store.accept(big(name, 8 * MIB))
        async with asyncio.timeout(20):
            while store.last_write is None:
                await asyncio.sleep(0.01)
        assert store.written == 3


async def test_the_same_resources_again_and_again_neither_pile_up_nor_are_written(
    tmp_path: Path,
) -> None:
    async with opened(options(tmp_path, quiet=3600.0), FakeClock()) as store:
        for _ in range(8):
            store.accept(big("a", 8 * MIB))
            await asyncio.sleep(0)
            assert store.waiting_bytes <= MAX_WAITING
        assert store.last_write is None
        assert await names(store) == ["a"]
        assert store.written == 1


MIB = 1024 * 1024


def big(name: str, size: int) -> Accepted:
    body = resource(types.CLUSTER, name)
    body.value += b"\x7a" + encoded(size) + b"f" * size
    message = DeltaDiscoveryResponse(
        type_url=types.CLUSTER, resources=[Resource(name=name, version="1", resource=body)]
    )
    return Accepted(types.CLUSTER, Variant.DELTA, message.SerializeToString())


def encoded(value: int) -> bytes:
    low, rest = value & 0x7F, value >> 7
    return bytes([low | 0x80]) + encoded(rest) if rest else bytes([low])


async def test_a_database_that_breaks_gives_nothing_and_breaks_nothing(tmp_path: Path) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(delta("a"))
        assert await names(store) == ["a"]
        with sqlite3.connect(tmp_path / "state" / "xds.db") as other:
            other.execute("DROP TABLE kind")
        other.close()
        store.accept(delta("b"))
        assert await names(store) == []


async def test_pushes_that_never_stop_are_written_all_the_same(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(options(tmp_path, quiet=1.0), clock) as store:
        for half_second in range(int(2 * LONGEST_WAIT) + 4):
            store.accept(delta("a", version=str(half_second)))
            await clock.advance(0.5)
        async with asyncio.timeout(20):
            while store.last_write is None:
                await asyncio.sleep(0.01)
        assert store.written == 1


async def test_an_end_while_a_write_waits_for_its_turn_loses_nothing(tmp_path: Path) -> None:
    settings, gate = options(tmp_path), threading.Event()
    async with opened(settings) as store:
        store._worker.submit(gate.wait, 20)
        store.accept(delta("a"))
        for _ in range(20):  # until the write is handed to the worker, which is busy
            await asyncio.sleep(0)
        assert store.waiting_bytes == 0
        threading.Timer(0.1, gate.set).start()  # the end itself waits for the worker
    async with opened(settings) as store:
        assert await names(store) == ["a"]
