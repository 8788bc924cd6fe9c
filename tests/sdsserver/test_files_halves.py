# SPDX-License-Identifier: Apache-2.0
"""Writers that take their time: what is half-written or no pair is never served, is said, and is counted."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from sdsserver.x509 import facts
from tests.support.rotations import ME, pair_name, serial, served
from tests.support.sdsclient import SdsStream
from tests.support.testca import CA, Leaf

PATIENCE = 30.0
ORDERS = {
    "certificate first": ("cert-chain.pem", "key.pem"),
    "key first": ("key.pem", "cert-chain.pem"),
}


class Said:
    """The agent's log, as it grows."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys
        self.text = ""

    async def until(self, words: str) -> None:
        """Until the log has ``words`` anew."""
        before = len(self.text)
        async with asyncio.timeout(PATIENCE):
            while words not in self.text[before:]:
                self.text += self._capsys.readouterr().out
                await asyncio.sleep(0.01)


@pytest.fixture
def said(capsys: pytest.CaptureFixture[str]) -> Said:
    return Said(capsys)


def contents(leaf: Leaf) -> dict[str, bytes]:
    return {"cert-chain.pem": leaf.chain, "key.pem": leaf.key}


async def next_is(stream: SdsStream, name: str, leaf: Leaf) -> None:
    """The very next answer is the whole new pair: nothing was pushed before it."""
    found = await stream.receive()
    assert serial(found) == facts(leaf.chain).serial
    assert found[name].tls_certificate.certificate_chain.inline_bytes == leaf.chain
    await stream.ack([name])


@pytest.mark.parametrize("poll", [0.0, 0.1], ids=["told", "polled"])
@pytest.mark.parametrize("order", ORDERS)
async def test_one_file_after_the_other(
    short_tmp: Path, said: Said, order: str, poll: float
) -> None:
    """Between the two the files are no pair; again and again, as a renewal is."""
    where, ca = short_tmp / "volume", CA()
    ca.issue(str(ME)).write(where)
    name = pair_name(where)
    async with served(where, poll=poll, debounce=0.02) as stream:
        await stream.ask(name)
        for _ in range(3):
            leaf = ca.issue(str(ME))
            first, second = ORDERS[order]
            (where / first).write_bytes(contents(leaf)[first])
            await said.until("changed secret file not usable yet")
            assert "not a pair" in said.text
            (where / second).write_bytes(contents(leaf)[second])
            await next_is(stream, name, leaf)


def middle_of_block(chain: bytes) -> int:
    return chain.index(b"-----BEGIN", 1) + 100


def middle_of_mark(chain: bytes) -> int:
    return chain.index(b"-----BEGIN", 1) + 4


def between_blocks(chain: bytes) -> int:
    return chain.index(b"-----BEGIN", 1)


CUTS: dict[str, Callable[[bytes], int]] = {
    "in the leaf": lambda chain: 100,
    "in the issuer": middle_of_block,
    "in the issuer's first line": middle_of_mark,
    "between the certificates": between_blocks,
}


@pytest.mark.parametrize("cut", CUTS)
async def test_a_slow_writer_of_the_chain(short_tmp: Path, said: Said, cut: str) -> None:
    """The key is in place already: each cut but the first would make a pair, with less than the chain."""
    where, ca = short_tmp / "volume", CA()
    ca.issue(str(ME)).write(where)
    name = pair_name(where)
    async with served(where, poll=0.0, debounce=0.02) as stream:
        await stream.ask(name)
        leaf = ca.issue(str(ME))
        at = CUTS[cut](leaf.chain)
        (where / "key.pem").write_bytes(leaf.key)
        with (where / "cert-chain.pem").open("wb", buffering=0) as file:
            file.write(leaf.chain[:at])
            await said.until("cert-chain.pem is being written")
            file.write(leaf.chain[at:])
        await next_is(stream, name, leaf)


@pytest.mark.parametrize("cut", ["in the issuer", "in the issuer's first line"])
async def test_a_half_that_only_its_content_shows(short_tmp: Path, said: Said, cut: str) -> None:
    """Written elsewhere and polled: nobody says that a writer is not done."""
    where, ca = short_tmp / "volume", CA()
    ca.issue(str(ME)).write(where)
    name = pair_name(where)
    async with served(where, poll=0.05, debounce=0.02) as stream:
        await stream.ask(name)
        leaf = ca.issue(str(ME))
        (where / "key.pem").write_bytes(leaf.key)
        (where / "cert-chain.pem").write_bytes(leaf.chain[: CUTS[cut](leaf.chain)])
        await said.until("in the middle of a PEM block")
        (where / "cert-chain.pem").write_bytes(leaf.chain)
        await next_is(stream, name, leaf)


@pytest.mark.parametrize("more", [100, 4], ids=["in a root", "in its first line"])
async def test_half_a_bundle_of_roots_is_not_served(short_tmp: Path, said: Said, more: int) -> None:
    where = short_tmp / "volume"
    where.mkdir()
    path, old, new = where / "root-cert.pem", CA("old").certificate, CA("new").certificate
    path.write_bytes(old)
    name = f"file-root:{path}"
    async with served(where, poll=0.05, debounce=0.02) as stream:
        await stream.ask(name)
        path.write_bytes((old + new)[: len(old) + more])
        await said.until("root-cert.pem ends in the middle of a PEM block")
        path.write_bytes(old + new)
        found = (await stream.receive())[name]
        assert found.validation_context.trusted_ca.inline_bytes == old + new


async def test_a_first_load_waits_for_the_second_half(short_tmp: Path) -> None:
    """Nothing is watched yet: who asks in the middle gets the whole."""
    where, ca = short_tmp / "volume", CA()
    leaf = ca.issue(str(ME))
    leaf.write(where)
    (where / "cert-chain.pem").write_bytes(leaf.chain[: middle_of_block(leaf.chain)])
    name = pair_name(where)
    async with served(where, poll=0.0, debounce=0.02) as stream:
        await stream.send([name])
        await asyncio.sleep(0.1)
        (where / "cert-chain.pem").write_bytes(leaf.chain)
        await next_is(stream, name, leaf)


def pieces(text: bytes, size: int) -> Iterator[bytes]:
    return (text[at : at + size] for at in range(0, len(text), size))


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS)
async def test_writers_of_pieces_for_half_a_minute(short_tmp: Path, order: str) -> None:
    """Each answer that came is a pair with its whole chain, and the last one is the last one written."""
    where, ca = short_tmp / "volume", CA()
    leaf = ca.issue(str(ME))
    leaf.write(where)
    name, chains, end = pair_name(where), {leaf.chain}, time.monotonic() + 30

    async def write() -> Leaf:
        while True:
            made = ca.issue(str(ME))
            chains.add(made.chain)
            for file_name in ORDERS[order]:
                with (where / file_name).open("wb", buffering=0) as file:
                    for piece in pieces(contents(made)[file_name], 37):
                        file.write(piece)
                        await asyncio.sleep(0.005)
            if time.monotonic() > end:
                return made
            await asyncio.sleep(0.05)  # whole for a moment

    async with served(where, poll=0.05, debounce=0.005) as stream, asyncio.TaskGroup() as group:
        await stream.ask(name)
        writer, count, last = group.create_task(write()), 0, 0
        while not (writer.done() and last == facts(writer.result().chain).serial):
            found = await stream.receive()
            count, last = count + 1, serial(found)
            assert found[name].tls_certificate.certificate_chain.inline_bytes in chains
            await stream.ack([name])
        print(f"{order}: {len(chains) - 1} slow rotations, {count} served, each of them whole")
