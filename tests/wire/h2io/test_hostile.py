# SPDX-License-Identifier: Apache-2.0
"""Our server under attack. Each time its peak memory is bounded, a deadline ends the test, and a good client is served.

The list; sections are RFC 9113's, limits those of ``wire.h2.limits``, budgets those of ``H2Connection``. What needs no
memory bound of its own (sizes, padding, states, malformed fields) is in ``h2/test_connection.py`` for a server, in
``misbehaving.py`` for our client, and in h2spec.

    attack                        rule          what stops it                       test
    bad, slow or no preface       3.4           handshake_timeout                   test_beginnings, test_silence
    frames of a wrong size        4.2, 6        judged by their header              h2/test_connection, misbehaving
    header bomb, HPACK table      4.3, 10.5.1   max_header_list, 4,096 octets       test_header_bombs, h2/test_blocks
    CONTINUATION flood            10.5          max_header_block, nuisance budget   test_floods
    rapid reset, and made to      10.5          budget of resets                    test_rapid_reset
    SETTINGS, PING, PRIORITY,     10.5          nuisance budget                     test_floods
      unknown, empty DATA flood
    padding tricks                6.1           counts as DATA; nuisance budget     test_floods, misbehaving
    answers that nobody reads     10.5          max_unread                          test_unread_answers
    window overflow               6.9.1         the window itself                   test_window_overflow
    windows of 0, or by octets    6.9           max_backlog for each stream         test_windows_of_nothing, test_crumbs
    a peer that never reads       10.5          max_backlog for each stream         test_slow_reader
    messages that nobody takes    -             max_held, stream_window             test_held_messages
    data on closed streams        5.1, 6.1      thrown away; nuisance budget        test_data_after_the_end, test_floods
    GOAWAY races                  6.8           two-step GOAWAY                     test_goaway_races
    half-close                    8.1           -                                   test_half_close
    oversized, cut or             gRPC          max_message                         test_bad_messages
      compressed messages
    a deadline while stalled      gRPC          RST_STREAM CANCEL                   test_deadline_of_a_stalled_answer
    TLS without an end            -             handshake_timeout, keepalive        test_tls_without_an_end
    too many connections          -             max_connections                     test_idle_connections
    a message of 50 MB            -             max_message; memory is given back   test_big_messages_leave_nothing
"""

from __future__ import annotations

import contextlib
import resource
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.grpcio import grpc
from tests.support.h2attacker import DEADLINE, GREETING, Attacker, asking
from tests.support.h2frames import (
    EMPTY_SETTINGS,
    encode,
    frame,
    headers_frame,
    last_headers,
    message_frame,
)
from tests.support.h2victim import MIB, Victim, victim
from tests.support.needs import REPO
from tests.support.testca import CA
from wire.h2 import frames
from wire.h2.frames import ErrorCode, Setting
from wire.h2.grpc import message_prefix
from wire.h2io.tls import client_context

LIMITS = {
    "max_message": MIB,
    "max_header_list": 4096,
    "max_backlog": MIB // 4,
    "stream_window": MIB // 4,
    "connection_window": MIB,
    "handshake_timeout": 3.0,
    "max_connections": 50,
}
LITTLE = 6.0
"""MiB that an attack may cost which is seen through at once: a socket's buffers, a read, a tired allocator."""
STREAMS = range(1, 200, 2)
"""As many as we allow at once."""


@pytest.fixture(scope="module")
def target() -> Iterator[Victim]:
    with victim(LIMITS) as running:
        yield running


@pytest.fixture(autouse=True)
def good_client(request: pytest.FixtureRequest) -> Iterator[None]:
    """Served before and after, on a connection that lives through the attack."""
    if "target" not in request.fixturenames:
        yield
        return
    running: Victim = request.getfixturevalue("target")
    with grpc.insecure_channel(running.target) as channel:
        call: Any = channel.unary_unary("/s/One")
        assert call(b"before", timeout=DEADLINE, wait_for_ready=True) == b"before"
        yield
        assert call(b"after", timeout=DEADLINE) == b"after"


def block(stream: int, payload: bytes) -> bytes:
    return frame(frames.HEADERS, stream, payload, frames.END_HEADERS)


# ---- beginnings ----


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(500),
        frames.PREFACE[:23] + b"x",
        frames.PREFACE + frames.ping_frame(bytes(8)),
        frames.PREFACE + frames.SETTINGS_ACK,
        frames.PREFACE + headers_frame(1, asking("/s/One")),
    ],
    ids=["HTTP/1", "TLS", "one octet wrong", "PING", "acknowledgement", "request"],
)
def test_beginnings(target: Victim, first: bytes) -> None:
    with target.growth_below(LITTLE), Attacker(target.port, first + bytes(100_000)) as attacker:
        attacker.read_to_the_end()
    assert attacker.goaway == [ErrorCode.PROTOCOL_ERROR]


def test_silence(target: Victim) -> None:
    with contextlib.ExitStack() as stack:
        attackers = [
            stack.enter_context(Attacker(target.port, first))
            for first in (b"", frames.PREFACE[:10], frames.PREFACE, GREETING[:30])
        ]
        for attacker in attackers:
            attacker.read_to_the_end()


# ---- floods ----

OPEN = headers_frame(1, asking("/s/Lazy"))
BEGUN = headers_frame(1, asking("/s/Lazy"), 0)
CLOSED = last_headers(1, asking("/s/One")) + message_frame(1, b"")

FLOODS = {
    "SETTINGS": (b"", EMPTY_SETTINGS),
    "SETTINGS that change the table": (
        b"",
        frames.settings_frame({Setting.HEADER_TABLE_SIZE: 0})
        + frames.settings_frame({Setting.HEADER_TABLE_SIZE: 9999}),
    ),
    "acknowledgements": (b"", frames.SETTINGS_ACK),
    "PING": (b"", frames.ping_frame(bytes(8))),
    "PRIORITY": (b"", frame(frames.PRIORITY, 9, bytes(5))),
    "unknown frames": (b"", frame(0xFA, 0, bytes(8))),
    "GOAWAY": (b"", frames.goaway_frame(0, 0)),
    "WINDOW_UPDATE": (b"", frames.window_frame(0, 1)),
    "empty DATA": (OPEN, frame(frames.DATA, 1)),
    "DATA of padding": (OPEN, frame(frames.DATA, 1, b"\7" + bytes(7), frames.PADDED)),
    "empty CONTINUATION": (BEGUN, frame(frames.CONTINUATION, 1)),
    "small CONTINUATION": (BEGUN, frame(frames.CONTINUATION, 1, b"\0")),
    "large CONTINUATION": (BEGUN, frame(frames.CONTINUATION, 1, bytes(16_000))),
    "RST_STREAM on a closed stream": (
        OPEN + frames.reset_frame(1, ErrorCode.CANCEL),
        frames.reset_frame(1, ErrorCode.CANCEL),
    ),
    "trailers on a stream that was reset": (
        OPEN + frames.window_frame(1, 0),
        last_headers(1, [("a", "b")]),
    ),
}


@pytest.mark.parametrize("name", FLOODS)
def test_floods(target: Victim, name: str) -> None:
    first, again = FLOODS[name]
    with target.growth_below(LITTLE), Attacker(target.port, GREETING + first) as attacker:
        attacker.drown(again * 100)
        attacker.read_to_the_end()
    assert attacker.goaway in ([ErrorCode.ENHANCE_YOUR_CALM], [ErrorCode.NO_ERROR])
    assert attacker.goaway == [ErrorCode.ENHANCE_YOUR_CALM] or name == "GOAWAY", "else we just go"


@pytest.mark.parametrize(
    "wrong",
    [frames.reset_frame(0, ErrorCode.CANCEL), frames.window_frame(0, 0), frame(0, 0, b"\xff")],
    ids=["by the client", "made to, by a window of 0", "by a bad message"],
)
def test_rapid_reset(target: Victim, wrong: bytes) -> None:
    """A stream costs a task; whoever opens and ends them all the time is stopped, whoever sends the RST_STREAM."""
    asked = b"".join(
        headers_frame(stream, asking("/s/One")) + wrong[:5] + stream.to_bytes(4, "big") + wrong[9:]
        for stream in range(1, 40_000, 2)
    )
    with target.growth_below(20), Attacker(target.port) as attacker:
        if (
            wrong[3] == frames.DATA
        ):  # a status is an answer as any other; nobody is asked to read it
            attacker.drown(asked, listening=False)
        else:
            attacker.drown(asked)
            attacker.read_to_the_end()
            assert attacker.goaway == [ErrorCode.ENHANCE_YOUR_CALM]


def test_unread_answers(target: Victim) -> None:
    """The status of each names the path: 3,000 octets that no table makes smaller and Huffman makes 7,000."""
    fields = encode([(name, value) for name, value in asking("") if name != ":path"])
    path = b"\x04" + b"\x7f\xb9\x16"  # not indexed, and 3,000 octets as they are
    asked = b"".join(
        frame(frames.HEADERS, stream, path + b"\\" * 2990 + b"%010d" % stream + fields, 5)
        for stream in range(1, 20_000, 2)
    )
    with target.growth_below(10), Attacker(target.port, receives=16_384) as attacker:
        attacker.drown(asked, listening=False)


@pytest.mark.parametrize(
    "bomb",
    [
        encode([*asking("/s/One"), ("x", "y" * 3000)]) + b"\xbe" * 8_000,
        encode([*asking("/s/One"), ("x", "y" * 4_000)]),
        encode(asking("/s/One")) + (b"\x40" + b"\x01a" + b"\x01b") * 2_000,
        b"\x3f\xff\xff\xff\xff\x0f" + encode(asking("/s/One")),
        b"\x7f" + b"\xff" * 10_000,
        b"\x40\xff\xff\xff\xff\x0f" + bytes(1000),
    ],
    ids=[
        "one entry again and again",
        "a large field",
        "many small fields",
        "a table of 4 GiB",
        "an endless number",
        "a name of 4 GiB",
    ],
)
def test_header_bombs(target: Victim, bomb: bytes) -> None:
    parts = frames.header_frames(1, bomb, 16_384, end_stream=True)
    with target.growth_below(LITTLE), Attacker(target.port) as attacker:
        attacker.say(parts)
        attacker.read_to_the_end()
    assert attacker.goaway[0] in {ErrorCode.ENHANCE_YOUR_CALM, ErrorCode.COMPRESSION_ERROR}


def test_a_table_of_many_sizes(target: Victim) -> None:
    sizes = b"\x20\x3f\xe1\x1f" * 2_500
    with target.growth_below(LITTLE), Attacker(target.port) as attacker:
        for stream in range(1, 20, 2):
            bomb = sizes + encode(asking("/s/None"))
            attacker.say(frames.header_frames(stream, bomb, 16_384, end_stream=True))
            attacker.read_until(frames.HEADERS, frames.END_STREAM)
            attacker.heard.clear()


# ---- windows ----


def test_window_overflow(target: Victim) -> None:
    with target.growth_below(LITTLE), Attacker(target.port) as attacker:
        attacker.ask(1, "/s/Lazy")
        attacker.say(frame(frames.DATA, 1, bytes(MIB // 4)) + frame(frames.DATA, 1, b"x"))
        attacker.read_until(frames.RST_STREAM)
        assert attacker.resets(1) == [ErrorCode.FLOW_CONTROL_ERROR]
    with target.growth_below(LITTLE), Attacker(target.port) as attacker:
        attacker.ask(1, "/s/Lazy")
        attacker.say(frames.pack_header(MIB, frames.DATA, 0, 1) + frames.window_frame(1, 2**31 - 1))
        attacker.read_until(frames.RST_STREAM)
        assert attacker.resets(1) == [ErrorCode.FLOW_CONTROL_ERROR]


def windows(stream: int) -> bytes:
    return GREETING + frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: stream})


def settled(attacker: Attacker) -> None:
    """It has acted on all that was said, and its handlers had their turn."""
    for turn in range(5):
        attacker.say(frames.ping_frame(turn.to_bytes(8, "big")))
        while not any(each.payload == turn.to_bytes(8, "big") for each in attacker.heard):
            attacker.read()


def test_windows_of_nothing(target: Victim) -> None:
    with target.growth_below(len(STREAMS) * 0.4), Attacker(target.port, windows(0)) as attacker:
        for stream in STREAMS:
            attacker.ask(stream, "/s/Pour")
        settled(attacker)
        assert not any(each.kind == frames.DATA for each in attacker.heard)


def test_crumbs(target: Victim) -> None:
    """A window that opens by single octets costs a frame each, which the client has to take."""
    with target.growth_below(LITTLE), Attacker(target.port, windows(0)) as attacker:
        attacker.ask(1, "/s/Pour")
        for _ in range(20):
            attacker.say(frames.window_frame(1, 1) * 100)
            settled(attacker)
            attacker.heard[:] = [each for each in attacker.heard if each.kind == frames.DATA]
        assert sum(len(each.payload) for each in attacker.heard) == 2000


def test_slow_reader(target: Victim) -> None:
    """Every window is open and nothing is ever read: what is said waits in the handlers, not in our buffers."""
    open_wide = windows(2**31 - 1) + frames.window_frame(0, 2**31 - 1 - 65_535)
    with target.growth_below(24), Attacker(target.port, open_wide) as attacker:
        for stream in STREAMS:
            attacker.ask(stream, "/s/Pour")
        with grpc.insecure_channel(target.target) as channel:
            for _ in range(20):  # each a turn of all handlers
                assert channel.unary_unary("/s/One")(b"x", timeout=DEADLINE) == b"x"


# ---- messages ----


@pytest.mark.parametrize("size", [MIB - 1, 1000, 0], ids=["begun", "small", "empty"])
def test_held_messages(target: Victim, size: int) -> None:
    """A hundred calls that take nothing hold no more than their connection may: the rest is refused or not let in."""
    begun = message_prefix(MIB) + bytes(size)
    whole = (message_prefix(size) + bytes(size)) * (MIB // 4 // (size + 5))
    body = begun if size == MIB - 1 else whole
    with target.growth_below(30), Attacker(target.port) as attacker:
        for stream in STREAMS:
            attacker.ask(stream, "/s/Lazy")
        settled(attacker)
        for at in range(0, len(body), 16_384):
            for stream in STREAMS:
                attacker.say(frame(frames.DATA, stream, body[at : at + 16_384]))
            if at % (MIB // 8) == 0:
                settled(attacker)


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"\0\0\x10\0\1", 8),
        (b"\0\xff\xff\xff\xff", 8),
        (b"\1\0\0\0\1x", 13),
        (b"\0\0\0\0\5abc", 13),
        (b"\0\0", 13),
    ],
    ids=["oversized", "larger than any", "compressed", "cut", "cut prefix"],
)
def test_bad_messages(target: Victim, body: bytes, status: int) -> None:
    with target.growth_below(LITTLE), Attacker(target.port) as attacker:
        attacker.ask(1, "/s/Swallow")
        attacker.say(frame(frames.DATA, 1, body, frames.END_STREAM))
        attacker.read_until(frames.HEADERS, frames.END_STREAM)
    told = b"".join(each.payload for each in attacker.heard if each.kind == frames.HEADERS)
    assert encode([("grpc-status", str(status))])[-len(str(status)) :] in told


def test_data_after_the_end(target: Victim) -> None:
    """Thrown away as it comes, and its window is given back: the rest of the connection needs it."""
    with target.growth_below(LITTLE), Attacker(target.port) as attacker:
        attacker.ask(1, "/s/None")
        attacker.read_until(frames.RST_STREAM)
        for _ in range(100):
            attacker.say(frame(frames.DATA, 1, bytes(100_000)))
        settled(attacker)
        assert attacker.resets(1) == [ErrorCode.NO_ERROR]
        credit = [
            frames.unpack_u32(each.payload)
            for each in attacker.heard
            if (each.kind, each.stream) == (frames.WINDOW_UPDATE, 0)
        ]
        assert sum(credit) >= 100 * 100_000


def test_deadline_of_a_stalled_answer(target: Victim) -> None:
    with Attacker(target.port, windows(0)) as attacker:
        attacker.ask(1, "/s/Pour", ("grpc-timeout", "50m"))
        attacker.read_until(frames.RST_STREAM)
        assert attacker.resets(1) == [ErrorCode.CANCEL]


# ---- ends ----


def test_goaway_races(target: Victim) -> None:
    """A request that comes with the client's own GOAWAY is answered; then we go too."""
    with Attacker(target.port) as attacker:
        attacker.say(
            headers_frame(1, asking("/s/One"))
            + frames.goaway_frame(0, 0)
            + last_headers(3, asking("/s/None"))
            + frame(frames.DATA, 1, message_prefix(1) + b"x", frames.END_STREAM)
        )
        attacker.read_to_the_end()
        answered = {each.stream for each in attacker.heard if each.kind == frames.HEADERS}
        assert answered == {1, 3}
        assert attacker.goaway == [ErrorCode.NO_ERROR]


def test_half_close(target: Victim) -> None:
    """A stream's half may be over while we still talk; a connection's may not."""
    with Attacker(target.port) as attacker:
        attacker.ask(1, "/s/Pour", flags=frames.END_HEADERS | frames.END_STREAM)
        attacker.read_until(frames.DATA)
        attacker.say(frame(frames.DATA, 1, b"x"))
        attacker.read_until(frames.RST_STREAM)
        assert attacker.resets(1) == [ErrorCode.STREAM_CLOSED]
        attacker.ask(3, "/s/Pour")
        attacker.sock.shutdown(socket.SHUT_WR)
        attacker.read_to_the_end()


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[CA, tuple[Path, Path]]:
    ca, directory = CA(), tmp_path_factory.mktemp("pair")
    leaf = ca.issue("localhost")
    chain, key = directory / "chain.pem", directory / "key.pem"
    chain.write_bytes(leaf.chain)
    key.write_bytes(leaf.key)
    return ca, (chain, key)


def test_tls_without_an_end(pair: tuple[CA, tuple[Path, Path]]) -> None:
    """In the handshake its deadline ends it, in a record the keepalive."""
    ca, files = pair
    context = client_context(roots=ca.certificate)
    with victim(LIMITS, files) as running, running.growth_below(LITTLE):
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        hello = outgoing.read()
        with Attacker(running.port, hello[:-10]) as attacker:
            attacker.read_to_the_end()
        with Attacker(running.port, hello) as attacker:
            while True:
                incoming.write(attacker.sock.recv(65_536))
                try:
                    tls.do_handshake()
                except ssl.SSLWantReadError:
                    continue
                break
            tls.write(GREETING)
            tls.write(bytes(1000))
            attacker.say(outgoing.read()[:-500])
            attacker.read_to_the_end()


# ---- many connections ----

_CROWD = """
import resource, socket, sys
port, count, greeting = int(sys.argv[1]), int(sys.argv[2]), bytes.fromhex(sys.argv[3])
hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
crowd = []
for _ in range(count):
    crowd.append(socket.create_connection(("127.0.0.1", port), timeout=60))
    try:
        crowd[-1].sendall(greeting)
    except ConnectionError:
        pass
refused = 0
for each in crowd:
    try:
        refused += each.recv(9) == b""
    except ConnectionError:
        refused += 1
print(refused, flush=True)
sys.stdin.read()
"""


@pytest.mark.parametrize(
    ("limit", "count"),
    [
        (300, 1300),
        pytest.param(1_000, 11_000, marks=pytest.mark.long),
        pytest.param(9_000, 10_000, marks=pytest.mark.long),
    ],
)
def test_idle_connections(limit: int, count: int) -> None:
    """Who waits costs little, who is refused nothing; when some have gone, others are welcome."""
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[1] > count + 200, "raise the hard limit"
    words = [sys.executable, "-c", _CROWD]
    with victim({"max_connections": limit}) as running:
        with running.growth_below(8 + limit * 0.02):
            with subprocess.Popen(
                [*words, str(running.port), str(count), GREETING.hex()],
                cwd=REPO,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            ) as crowd:
                assert crowd.stdout is not None
                assert crowd.stdin is not None
                refused = int(crowd.stdout.readline())
                print(f"{limit} waiting: {running.memory():.0f} MiB")  # -s shows it
                crowd.stdin.close()
            assert refused == count - limit
        with grpc.insecure_channel(running.target) as channel:
            assert (
                channel.unary_unary("/s/One")(b"x", timeout=DEADLINE, wait_for_ready=True) == b"x"
            )


# ---- big messages ----

BIG = 50


def test_big_messages_leave_nothing() -> None:
    """50 MB received, 50 MB sent, 50 MB for somebody who never reads them: no memory of it is kept."""
    options = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1)]
    with (
        victim({"max_message": 2 * BIG * MIB}) as running,
        grpc.insecure_channel(running.target, options=options) as channel,
    ):
        swallow, big, settle = (
            channel.unary_unary(f"/s/{name}") for name in ("Swallow", "Big", "Settle")
        )
        assert swallow(b"warm", timeout=DEADLINE) == b"4"
        settle(b"", timeout=DEADLINE)
        before = running.memory()
        with running.growth_below(BIG * 1.3):
            assert int(swallow(bytes(BIG * MIB), timeout=DEADLINE)) == BIG * MIB
        settle(b"", timeout=DEADLINE)
        assert running.memory() - before < LITTLE, "after receiving"
        with running.growth_below(BIG * 2.3):
            assert len(big(str(BIG).encode(), timeout=DEADLINE)) == BIG * MIB
        settle(b"", timeout=DEADLINE)
        assert running.memory() - before < LITTLE, "after sending"
        open_wide = windows(2**31 - 1) + frames.window_frame(0, 2**31 - 1 - 65_535)
        with running.growth_below(BIG * 2.3), Attacker(running.port, open_wide) as attacker:
            attacker.ask(1, "/s/Big")
            attacker.say(message_frame(1, str(BIG).encode()))
            attacker.read_until(frames.DATA)
        until = time.monotonic() + DEADLINE
        while running.memory() - before > LITTLE:
            assert time.monotonic() < until, "after a client that left without reading"
            settle(b"", timeout=DEADLINE)
