# SPDX-License-Identifier: Apache-2.0
"""The store: what enters, what never does, whose it is, how long it counts, what damage does to it."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.xds.options import StoreOptions
from agent.xds.store import FILE_NAME, Accepted, Change, Store, changes
from tests.support.clock import FakeClock
from tests.support.fakeads import FakeAds, resource
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


def delta(*names: str, removed: tuple[str, ...] = (), version: str = "1") -> Accepted:
    ads = FakeAds(version=version)
    ads.put(types.CLUSTER, *names)
    message = ads.delta(types.CLUSTER)
    message.removed_resources.extend(removed)
    return Accepted(types.CLUSTER, Variant.DELTA, message.SerializeToString())


def sotw(*names: str) -> Accepted:
    ads = FakeAds()
    ads.put(types.CLUSTER, *names)
    return Accepted(types.CLUSTER, Variant.SOTW, ads.sotw(types.CLUSTER).SerializeToString())


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


@pytest.mark.parametrize("other", [{"node_id": "m"}, {"trust_domain": "other"}])
async def test_another_owner_finds_nothing(tmp_path: Path, other: dict[str, str]) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(delta("a"))
    async with opened(options(tmp_path, **other)) as store:
        assert await store.shelf() == {}
    async with opened(options(tmp_path)) as store:
        assert await store.shelf() == {}  # wiped, not hidden


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


async def test_damaged_file_is_begun_anew(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / FILE_NAME).write_bytes(b"this is no database" * 100)
    async with opened(options(tmp_path)) as store:
        assert not store.in_memory
        store.accept(delta("a"))
        assert await names(store) == ["a"]


async def test_unusable_directory_means_memory(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("a file where the directory should be")
    async with opened(options(tmp_path)) as store:
        assert store.in_memory
        store.accept(delta("a"))
        assert await names(store) == ["a"]


async def test_symlink_in_place_of_the_file_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    target = tmp_path / "elsewhere"
    target.write_text("precious")
    os.symlink(target, tmp_path / "state" / FILE_NAME)
    async with opened(options(tmp_path)) as store:
        assert store.in_memory
    assert target.read_text() == "precious"


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


def test_what_goes_is_named() -> None:
    change = changes([delta(removed=("x",))])[types.CLUSTER]
    assert (change.put, change.remove, change.clear) == ({}, {"x"}, False)


NAMES = st.sets(st.sampled_from("abcd"), max_size=3)


@given(st.lists(st.tuples(st.booleans(), NAMES, NAMES), max_size=6))
def test_merged_is_the_same_as_one_after_the_other(
    steps: list[tuple[bool, set[str], set[str]]],
) -> None:
    """Newest first with what is overtaken left out comes to what a plain replay comes to."""
    told, rows = [], {"a": "0", "d": "0"}
    for number, (full, put, gone) in enumerate(steps, start=1):
        if full:
            rows = {}
            ads = FakeAds(version=str(number))
            ads.put(types.CLUSTER, *put)
            raw = ads.sotw(types.CLUSTER).SerializeToString()
            told.append(Accepted(types.CLUSTER, Variant.SOTW, raw))
        else:
            told.append(delta(*put, removed=tuple(gone), version=str(number)))
            rows = {name: version for name, version in rows.items() if name not in gone}
        rows.update(dict.fromkeys(put, str(number)))
    change = changes(told).get(types.CLUSTER, Change())
    before = {} if change.clear else {"a": "0", "d": "0"}
    kept = {name: version for name, version in before.items() if name not in change.remove}
    assert kept | {name: entry.version for name, entry in change.put.items()} == rows


async def test_much_at_once_does_not_wait_for_quiet(tmp_path: Path) -> None:
    clock = FakeClock()
    async with opened(options(tmp_path, quiet=3600.0), clock) as store:
        for _ in range(3):
            store.accept(big("a", 8 * MIB))
        async with asyncio.timeout(20):
            while store.last_write is None:
                await asyncio.sleep(0.01)
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


async def test_rows_are_readable_by_any_sqlite(tmp_path: Path) -> None:
    async with opened(options(tmp_path)) as store:
        store.accept(delta("a"))
    with sqlite3.connect(tmp_path / "state" / FILE_NAME) as database:
        assert database.execute("SELECT type, name FROM resource").fetchall() == [
            (types.CLUSTER, "a")
        ]
    database.close()
