# SPDX-License-Identifier: Apache-2.0
"""From a saved file to a wish on every connection, with the log lines that say so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from mesh.clock import SystemClock
from tests.upstream.test_connections import connection
from upstream.connections import Connection, Connections
from upstream.metrics import Metric, Metrics
from upstream.options import Profile, PushOptions, SourceOptions
from upstream.pipeline import Pipeline
from upstream.queue import Reason

SIDECAR = """\
apiVersion: networking.istio.io/v1
kind: Sidecar
metadata: {name: %s, namespace: demo}
spec:
  egress:
  - hosts: ["%s"]
"""


class Bench:
    """A pipeline over a directory, with one connection."""

    def __init__(self, tmp_path: Path) -> None:
        self.config = tmp_path / "config"
        self.config.mkdir()
        self.mesh = tmp_path / "mesh.yaml"
        self.connections, self.metrics = Connections(), Metrics()
        self.connection = connection(self.connections)
        self.connections.add(self.connection)
        self.pipeline = Pipeline(
            SourceOptions(config_dir=str(self.config), mesh_config=str(self.mesh), poll=0.05),
            PushOptions(debounce_after=0.02, debounce_max=1.0),
            self.connections,
            self.metrics,
            SystemClock(),
            profile=Profile.STOCK,
        )

    def put(self, name: str, text: str) -> None:
        (self.config / ".new").write_text(text)
        (self.config / ".new").replace(self.config / f"{name}.yaml")

    def sidecar(self, name: str, host: str = "*/*") -> None:
        self.put(name, SIDECAR % (name, host))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        await self.pipeline.load()
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.pipeline.run(), name="pipeline")
            yield
            task.cancel()

    async def until(self, holds: Callable[[], object]) -> None:
        async with asyncio.timeout(10):
            while not holds():
                await asyncio.sleep(0.01)

    def names(self) -> set[str]:
        snapshot = self.pipeline.current()
        return {key.name for key in snapshot.world.by_key()} if snapshot else set()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def waiting(connection: Connection) -> bool:
    return bool(connection.slot)


async def test_saved_file_becomes_a_push(bench: Bench, capsys: pytest.CaptureFixture[str]) -> None:
    bench.sidecar("one")
    assert bench.pipeline.current() is None
    async with bench.running():
        first = bench.pipeline.current()
        assert first is not None
        assert bench.names() == {"one"}
        assert not waiting(bench.connection)
        bench.sidecar("two")
        await bench.until(lambda: waiting(bench.connection))
    wish = bench.connection.slot.take()
    assert wish is not None
    assert [str(key) for key in wish.changed or ()] == ["Sidecar/demo/two"]
    second = bench.pipeline.current()
    assert second is not None
    assert second.version != first.version
    assert bench.names() == {"one", "two"}
    assert bench.metrics.value(Metric.PUSH_TRIGGERS, type="config") == 1
    written = capsys.readouterr().out
    assert "Push debounce stable[2] 1 for config Sidecar/demo/two: " in written
    assert "XDS: Pushing Services:0 ConnectedEndpoints:1 Version:" in written


async def test_deleted_file_takes_its_objects(bench: Bench) -> None:
    bench.sidecar("one")
    bench.sidecar("two")
    async with bench.running():
        (bench.config / "two.yaml").unlink()
        await bench.until(lambda: bench.names() == {"one"})


async def test_bad_file_pushes_nothing_and_says_what_is_wrong(
    bench: Bench, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.sidecar("one")
    async with bench.running():
        bench.put(
            "one",
            "kind: Sidecar\napiVersion: networking.istio.io/v1\nmetadata: {name: one}\nspec: {nonsense: 1}\n",
        )
        await bench.until(bench.pipeline.faults)
        await asyncio.sleep(0.1)
        assert bench.names() == {"one"}
        assert not waiting(bench.connection)
        written = capsys.readouterr().out
        assert "configuration refused, the last good version stays" in written
        assert "one.yaml:4" in written
        assert "nonsense" in written
        bench.sidecar("one")
        await bench.until(lambda: not bench.pipeline.faults())
    assert "configuration is good again" in capsys.readouterr().out


async def test_comment_alone_pushes_nothing(bench: Bench) -> None:
    bench.sidecar("one")
    async with bench.running():
        bench.put("one", "# seen\n" + SIDECAR % ("one", "*/*"))
        bench.sidecar("marker")
        await bench.until(lambda: waiting(bench.connection))
    wish = bench.connection.slot.take()
    assert wish is not None
    assert [key.name for key in wish.changed or ()] == ["marker"]


async def test_object_that_moves_to_another_file_pushes_nothing(bench: Bench) -> None:
    bench.sidecar("one")
    async with bench.running():
        before = bench.pipeline.current()
        (bench.config / "one.yaml").rename(bench.config / "two.yaml")
        await bench.until(lambda: f"{bench.config}/two.yaml" in bench.pipeline.world.sources)
        await asyncio.sleep(0.1)
        assert bench.pipeline.current() is before
        assert not waiting(bench.connection)


async def test_mesh_config_concerns_everything(bench: Bench) -> None:
    async with bench.running():
        bench.mesh.write_text("trustDomain: other.example\n")
        await bench.until(lambda: waiting(bench.connection))
    wish = bench.connection.slot.take()
    assert wish is not None
    assert (wish.changed, wish.forced) == (None, True)
    assert bench.pipeline.world.mesh.trust_domain == "other.example"


async def test_push_on_demand(bench: Bench) -> None:
    async with bench.running():
        bench.pipeline.push_all(Reason.DEBUG)
        await bench.until(lambda: waiting(bench.connection))
