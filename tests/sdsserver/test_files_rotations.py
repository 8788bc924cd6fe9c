# SPDX-License-Identifier: Apache-2.0
"""Many rotations of each kind that is met in the field: every one is told, the time to each is printed."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mesh.clock import SystemClock
from mesh.identity import Identity
from mesh.inotify import Inotify
from sdsserver.files import FileSecrets, read
from sdsserver.metrics import Metrics
from sdsserver.options import CertFiles, SecretOptions
from tests.support.testca import CA, Leaf

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
FILES = ("cert-chain.pem", "key.pem", "root-cert.pem")
DEADLINE = 20.0

Rotate = Callable[[Path, Leaf], None]


def in_place(where: Path, leaf: Leaf) -> None:
    leaf.write(where)


def rename(where: Path, leaf: Leaf) -> None:
    leaf.write(where / "new")
    for name in FILES:
        (where / "new" / name).rename(where / name)


_generation = itertools.count()


def data_swap(where: Path, leaf: Leaf) -> None:
    """As the kubelet does it: a new directory, and one rename of the link to it."""
    target = f"..{next(_generation)}"
    leaf.write(where / target)
    (where / "..data_tmp").symlink_to(target)
    (where / "..data_tmp").rename(where / "..data")
    for name in FILES:
        if not (where / name).is_symlink():
            (where / name).symlink_to(f"..data/{name}")


def csi_chain(where: Path, leaf: Leaf) -> None:
    """As CSI drivers do it: the volume is reached through links of another place, swapped there."""
    store = where.parent / "store"
    store.mkdir(exist_ok=True)
    data_swap(store, leaf)
    for name in FILES:
        if not (where / name).is_symlink():
            (where / name).symlink_to(f"../store/{name}")


KINDS: dict[str, Rotate] = {
    "in place": in_place,
    "rename": rename,
    "data swap": data_swap,
    "csi chain": csi_chain,
}


async def rotate_often(where: Path, rotate: Rotate, times: int, *, poll: float) -> list[float]:
    """Seconds from each rotation until it was told with the right content."""
    where.mkdir()
    ca, told = CA(), asyncio.Event()
    options = SecretOptions(
        identity=ME,
        ca=None,
        well_known=CertFiles.in_dir(str(where / "none")),
        debounce=0.01,
        poll=poll,
    )
    files = FileSecrets(options, SystemClock(), Metrics(), lambda name: told.set())
    name = f"file-cert:{where}/cert-chain.pem~{where}/key.pem"
    source = files.source(name)
    assert source is not None
    rotate(where, ca.issue(str(ME)))
    await files.load(name, source)
    took = []
    async with asyncio.TaskGroup() as group:
        task = group.create_task(files.run())
        await asyncio.sleep(0.05)
        for _ in range(times):
            leaf = ca.issue(str(ME))
            started = time.monotonic()
            rotate(where, leaf)
            async with asyncio.timeout(DEADLINE):
                while read(name, source).chain != leaf.chain or not told.is_set():
                    await asyncio.sleep(0.002)
            took.append(time.monotonic() - started)
            await files.load(name, source)
            told.clear()
        task.cancel()
    return took


def report(kind: str, took: list[float]) -> None:
    print(f"{kind}: {len(took)} rotations, slowest {max(took) * 1000:.0f} ms (target 2000)")


@pytest.mark.parametrize("kind", KINDS)
async def test_a_few_rotations(tmp_path: Path, kind: str) -> None:
    report(kind, await rotate_often(tmp_path / "volume", KINDS[kind], 5, poll=0.0))


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
async def test_a_hundred_rotations(tmp_path: Path, kind: str) -> None:
    report(kind, await rotate_often(tmp_path / "volume", KINDS[kind], 100, poll=0.0))


@pytest.mark.parametrize("kind", KINDS)
async def test_by_poll_only(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Inotify, "add", lambda self, path, mask=0: 1)
    took = await rotate_often(tmp_path / "volume", KINDS[kind], 5, poll=0.05)
    report(f"{kind}, polled", took)
