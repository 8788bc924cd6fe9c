# SPDX-License-Identifier: Apache-2.0
"""Rotations of a certificate's files, each in one of the ways that are met in the field, and how long an SDS client waits.

``python -m tests.support.rotations DIRECTORY KIND TIMES`` does it in a process of its own, for kinds that want a mount
namespace; it prints the seconds of each rotation as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import mmap
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from mesh.clock import SystemClock
from mesh.identity import Identity
from sdsserver import build_sds
from sdsserver.options import CertFiles, Mode, SecretOptions
from sdsserver.pem import check_pair
from sdsserver.x509 import facts
from tests.support.sdsclient import SdsStream, channel, open_stream
from tests.support.testca import CA, Leaf
from wire.proto.secret_pb2 import Secret

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
FILES = ("cert-chain.pem", "key.pem", "root-cert.pem")
DEADLINE = 60.0
POLL = 0.25
"""Seconds between looks where only the poll finds a rotation: PILOT_CERT_POLL is 5 s otherwise."""

Rotate = Callable[[Path, Leaf], None]


def in_place(where: Path, leaf: Leaf) -> None:
    leaf.write(where)


def rename(where: Path, leaf: Leaf) -> None:
    leaf.write(where / "new")
    for name in FILES:
        (where / "new" / name).rename(where / name)


_generation = itertools.count()


def data_swap(where: Path, leaf: Leaf) -> None:
    """As the kubelet does it: a new directory, one rename of the link to it, the old one removed."""
    old = (where / "..data").resolve() if (where / "..data").is_symlink() else None
    target = f"..{next(_generation)}"
    leaf.write(where / target)
    (where / "..data_tmp").symlink_to(target)
    (where / "..data_tmp").rename(where / "..data")
    for name in FILES:
        if not (where / name).is_symlink():
            (where / name).symlink_to(f"..data/{name}")
    if old:
        for name in FILES:
            (old / name).unlink()
        old.rmdir()


def csi_chain(where: Path, leaf: Leaf) -> None:
    """As CSI drivers do it: the volume is reached through links of another place, swapped there."""
    store = where.parent / "store"
    store.mkdir(exist_ok=True)
    data_swap(store, leaf)
    for name in FILES:
        if not (where / name).is_symlink():
            (where / name).symlink_to(f"../store/{name}")


def mounted_anew(where: Path, leaf: Leaf) -> None:
    """Another directory is mounted where the last one was."""
    source = where.parent / f"source{next(_generation)}"
    leaf.write(source)
    if where.is_mount():
        _run("umount", where)
    _run("mount", "--bind", source, where)


def mounted_files(where: Path, leaf: Leaf) -> None:
    """Each file is mounted for itself, and its source written: no directory here tells of it."""
    source = where.parent / "source"
    leaf.write(source)
    for name in FILES:
        if not (where / name).exists():
            (where / name).touch()
            _run("mount", "--bind", source / name, where / name)


_maps: dict[Path, mmap.mmap] = {}
"""Kept, as the end of a map that was written to is told as the end of a writer."""


def by_memory(where: Path, leaf: Leaf) -> None:
    """Written through a memory map: the kernel tells nobody (inotify(7)), as with changes made on another machine."""
    for name, content in zip(FILES, (leaf.chain, leaf.key, leaf.root), strict=True):
        path, padded = where / name, content.ljust(8192, b"\n")
        if path in _maps:
            _maps[path][:] = padded
            continue
        path.write_bytes(padded)
        with path.open("r+b") as file:
            _maps[path] = mmap.mmap(file.fileno(), 0)


KINDS: dict[str, Rotate] = {
    "in place": in_place,
    "rename": rename,
    "data swap": data_swap,
    "csi chain": csi_chain,
}
MOUNTED: dict[str, Rotate] = {
    "bind mount of the directory": mounted_anew,
    "bind mounts of the files": mounted_files,
}
"""Want root and a mount namespace."""
UNSEEN: dict[str, Rotate] = {"no events": by_memory}
"""Only the poll finds these."""


@asynccontextmanager
async def served(where: Path, *, poll: float, debounce: float = 0.1) -> AsyncIterator[SdsStream]:
    """An SDS client of an agent's secret part that has files only."""
    options = SecretOptions(
        identity=ME,
        ca=None,
        mode=Mode.FILE_MOUNTED,
        socket_dir=str(where.parent),
        well_known=CertFiles.in_dir(str(where.parent / "none")),
        poll=poll,
        debounce=debounce,
    )
    part = build_sds(options, SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(part.run())
        await part.ready.wait()
        async with channel(options.socket) as made:
            yield open_stream(made)
        task.cancel()


def pair_name(where: Path) -> str:
    return f"file-cert:{where}/cert-chain.pem~{where}/key.pem"


async def rotate_often(where: Path, rotate: Rotate, times: int, *, poll: float) -> list[float]:
    """Seconds from each rotation until the client has it; whatever came before was a pair."""
    where.mkdir()
    name, ca = pair_name(where), CA()
    leaf = ca.issue(str(ME))
    rotate(where, leaf)
    took = []
    async with served(where, poll=poll) as stream:
        assert serial(await stream.ask(name)) == facts(leaf.chain).serial
        for _ in range(times):
            leaf = ca.issue(str(ME))
            rotate(where, leaf)
            started = time.monotonic()
            async with asyncio.timeout(DEADLINE):
                while serial(await stream.receive()) != facts(leaf.chain).serial:
                    await stream.ack([name])
            took.append(time.monotonic() - started)
            await stream.ack([name])
    return took


def serial(found: dict[str, Secret]) -> int:
    """Of the only pair in an answer, which must be one."""
    (secret,) = found.values()
    pair = secret.tls_certificate
    check_pair(pair.certificate_chain.inline_bytes, pair.private_key.inline_bytes)
    return facts(pair.certificate_chain.inline_bytes).serial


def _run(*words: str | Path) -> None:
    subprocess.run([str(word) for word in words], check=True)


def main() -> None:
    where, kind, times = sys.argv[1:]
    took = asyncio.run(rotate_often(Path(where), MOUNTED[kind], int(times), poll=0.0))
    print(json.dumps(took))


if __name__ == "__main__":
    main()
