# SPDX-License-Identifier: Apache-2.0
"""The HTTP/2 machine: dialogues, every fault it must name, and random splits and interleavings."""

from __future__ import annotations

from collections.abc import Callable

import hpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.h2frames import (
    EMPTY_SETTINGS,
    REQUEST,
    RESPONSE,
    TRAILERS,
    encode,
    frame,
    headers_frame,
)
from wire.h2 import frames
from wire.h2.connection import H2Connection, Side
from wire.h2.events import (
    ConnectionFailed,
    DataReceived,
    Event,
    GoAwayReceived,
    HeadersReceived,
    Pong,
    SettingsReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
    Writable,
)
from wire.h2.frames import ErrorCode, Setting
from wire.h2.limits import DEFAULT_LIMITS, Limits


def take(connection: H2Connection) -> bytes:
    data = b"".join(connection.out)
    connection.out.clear()
    return data


def feed(connection: H2Connection, data: bytes, now: float = 0.0) -> list[Event]:
    """Events with their views copied, as a shell would use them in time."""
    return [
        event._replace(data=memoryview(bytes(event.data)))
        if isinstance(event, DataReceived)
        else event
        for event in connection.receive(memoryview(data), now)
    ]


def pair(limits: Limits = DEFAULT_LIMITS) -> tuple[H2Connection, H2Connection]:
    client, server = H2Connection(Side.CLIENT, limits), H2Connection(Side.SERVER, limits)
    client.start()
    server.start()
    exchange(client, server)
    return client, server


def exchange(client: H2Connection, server: H2Connection) -> tuple[list[Event], list[Event]]:
    """Carry bytes both ways until neither has any."""
    to_client: list[Event] = []
    to_server: list[Event] = []
    while client.out or server.out:
        to_server += feed(server, take(client))
        to_client += feed(client, take(server))
    return to_client, to_server


def ready_server(limits: Limits = DEFAULT_LIMITS) -> H2Connection:
    server = H2Connection(Side.SERVER, limits)
    server.start()
    feed(server, frames.PREFACE + EMPTY_SETTINGS + frames.SETTINGS_ACK)
    take(server)
    return server


def ready_client() -> tuple[H2Connection, int]:
    client = H2Connection(Side.CLIENT, Limits())
    client.start()
    feed(client, EMPTY_SETTINGS)
    stream = client.open_stream(REQUEST)
    take(client)
    return client, stream


def body_of(events: list[Event], stream: int) -> bytes:
    return b"".join(e.data for e in events if isinstance(e, DataReceived) and e.stream == stream)


# ---- dialogues ----


def test_a_call_from_both_sides() -> None:
    client, server = pair()
    stream = client.open_stream([*REQUEST, ("x-a", "1")])
    client.send_data(stream, (b"hello",), 5)
    client.end_stream(stream)
    _, at_server = exchange(client, server)
    assert at_server[0] == HeadersReceived(stream, [*REQUEST, ("x-a", "1")], ended=False)
    assert body_of(at_server, stream) == b"hello"
    assert at_server[-1] == StreamEnded(stream)
    server.send_headers(stream, RESPONSE)
    server.send_data(stream, (b"wor", b"ld"), 5)
    server.end_stream(stream, TRAILERS)
    at_client, _ = exchange(client, server)
    assert at_client[0] == HeadersReceived(stream, RESPONSE, ended=False)
    assert body_of(at_client, stream) == b"world"
    assert at_client[-1] == TrailersReceived(stream, TRAILERS)
    assert client.open_streams == server.open_streams == 0


def test_a_server_that_answers_early_frees_the_stream_on_both_sides() -> None:
    client, server = pair()
    stream = client.open_stream(REQUEST)
    exchange(client, server)
    server.end_stream(stream, [*RESPONSE, *TRAILERS])
    at_client, _ = exchange(client, server)
    assert at_client == [HeadersReceived(stream, [*RESPONSE, *TRAILERS], ended=True)]
    assert client.open_streams == server.open_streams == 0


def test_reset_is_told_once_and_late_frames_are_ignored() -> None:
    client, server = pair()
    stream = client.open_stream(REQUEST)
    exchange(client, server)
    client.reset(stream)
    server.send_data(stream, (b"late",), 4)  # crosses the reset
    at_client, at_server = exchange(client, server)
    assert at_server == [StreamReset(stream, ErrorCode.CANCEL, by_peer=True, why="")]
    assert at_client == []


def test_after_both_resets_nothing_can_be_under_way() -> None:
    server = ready_server()
    feed(server, headers_frame(1, REQUEST))
    server.reset(1)
    assert feed(server, headers_frame(1, TRAILERS)) == []  # it may have crossed our reset
    feed(server, frames.reset_frame(1, ErrorCode.CANCEL))
    why = "HEADERS on a closed stream (5.1)"
    assert feed(server, headers_frame(1, TRAILERS)) == [
        ConnectionFailed(ErrorCode.STREAM_CLOSED, why)
    ]


def test_ping_is_answered() -> None:
    client, server = pair()
    client.ping(b"12345678")
    at_client, _ = exchange(client, server)
    assert at_client == [Pong(b"12345678")]


def test_goaway_lets_running_streams_end_and_refuses_new_ones() -> None:
    client, server = pair()
    first = client.open_stream(REQUEST)
    exchange(client, server)
    server.go_away()
    second = client.open_stream(REQUEST)  # crosses the GOAWAY
    at_client, at_server = exchange(client, server)
    assert at_server == []
    assert at_client[0] == GoAwayReceived(first, ErrorCode.NO_ERROR, b"")
    assert at_client[1] == StreamReset(
        second, ErrorCode.REFUSED_STREAM, by_peer=True, why="not processed before GOAWAY"
    )
    assert not client.may_open
    server.end_stream(first, [*RESPONSE, *TRAILERS])
    at_client, _ = exchange(client, server)
    assert at_client == [HeadersReceived(first, [*RESPONSE, *TRAILERS], ended=True)]


def test_too_many_streams_are_refused_and_the_rest_lives() -> None:
    client, server = pair(Limits(max_streams=1))
    first = client.open_stream(REQUEST)
    exchange(client, server)
    assert not client.may_open
    second = client.open_stream(REQUEST)
    at_client, _ = exchange(client, server)
    assert at_client == [StreamReset(second, ErrorCode.REFUSED_STREAM, by_peer=True, why="")]
    assert server.is_open(first)


def test_the_stream_window_holds_data_back_until_it_is_credited() -> None:
    client, server = pair(Limits(stream_window=1000, max_frame=16_384))
    stream = client.open_stream(REQUEST)
    client.send_data(stream, (b"x" * 2500,), 2500)
    client.end_stream(stream)
    _, at_server = exchange(client, server)
    assert len(body_of(at_server, stream)) == 1000
    assert client.backlog(stream) == 1500
    server.credit(stream, 1000)
    _, at_server = exchange(client, server)
    assert len(body_of(at_server, stream)) == 1000
    server.credit(stream, 1000)
    _, at_server = exchange(client, server)
    assert (len(body_of(at_server, stream)), at_server[-1]) == (500, StreamEnded(stream))


def test_writable_is_told_when_the_backlog_is_gone() -> None:
    client, server = pair(Limits(stream_window=1000))
    stream = client.open_stream(REQUEST)
    client.send_data(stream, (b"x" * 1500,), 1500)
    exchange(client, server)
    server.credit(stream, 1000)
    at_client, _ = exchange(client, server)
    assert at_client == [Writable(stream)]


def test_one_stalled_stream_stops_no_other() -> None:
    client, server = pair(Limits(stream_window=1000, connection_window=65_535))
    stalled = client.open_stream(REQUEST)
    client.send_data(stalled, (b"x" * 5000,), 5000)
    exchange(client, server)
    total = 0
    other = client.open_stream(REQUEST)
    for _ in range(100):
        client.send_data(other, (b"y" * 900,), 900)
        _, at_server = exchange(client, server)
        total += len(body_of(at_server, other))
        server.credit(other, 900)
        exchange(client, server)
    assert total == 90_000


def test_a_smaller_initial_window_counts_for_open_streams_too() -> None:
    client, stream = ready_client()
    feed(client, frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 10}))
    take(client)
    client.send_data(stream, (b"x" * 30,), 30)
    assert client.backlog(stream) == 20
    feed(client, frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 0}))
    feed(client, frames.window_frame(stream, 10))
    assert client.backlog(stream) == 20  # 10 of the new credit only pay the debt
    feed(client, frames.window_frame(stream, 20))
    assert client.backlog(stream) == 0


def test_frames_are_not_larger_than_the_peer_takes() -> None:
    client, stream = ready_client()
    feed(
        client,
        frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 10**6}) + frames.window_frame(0, 10**6),
    )
    take(client)
    client.send_data(stream, (b"x" * 40_000,), 40_000)
    raw, sizes = take(client), []
    while raw:
        sizes.append(frames.unpack_header(raw).length)
        raw = raw[9 + sizes[-1] :]
    assert sizes == [16_384, 16_384, 7_232]


def test_padding_is_taken_off_and_credited() -> None:
    server = ready_server(Limits(stream_window=100))
    feed(server, headers_frame(1, REQUEST))
    padded = frame(frames.DATA, 1, b"\x14" + b"abc" + b"\0" * 20, frames.PADDED)
    for _ in range(20):  # far more padding than the window has room for
        events = feed(server, padded)
        assert body_of(events, 1) == b"abc"
        server.credit(1, 3)


def test_interim_responses_are_passed_over() -> None:
    client, stream = ready_client()
    interim = headers_frame(stream, [(":status", "103")])
    assert feed(client, interim) == []
    encoder_state = encode(RESPONSE)
    answer = frames.pack_header(len(encoder_state), frames.HEADERS, frames.END_HEADERS, stream)
    assert feed(client, answer + encoder_state) == [HeadersReceived(stream, RESPONSE, ended=False)]


def test_unknown_frames_and_settings_are_ignored() -> None:
    server = ready_server()
    unknown = frame(0xFA, 3, b"x" * 100) + frame(frames.SETTINGS, 0, b"\xff\xff\0\0\0\1")
    assert feed(server, unknown + frames.ping_frame(b"abcdefgh")) == []
    assert take(server).endswith(frames.ping_frame(b"abcdefgh", ack=True))


# ---- faults of the connection ----

SELF_DEPENDENT = (5).to_bytes(4, "big") + b"\0"

CONNECTION_FAULTS: dict[str, tuple[bytes, ErrorCode]] = {
    "frame too large": (
        frames.pack_header(1024 * 1024 + 1, frames.DATA, 0, 1),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "data on stream 0": (frame(frames.DATA, 0, b"x"), ErrorCode.PROTOCOL_ERROR),
    "data on an idle stream": (frame(frames.DATA, 5, b"x"), ErrorCode.PROTOCOL_ERROR),
    "headers on stream 0": (headers_frame(0, REQUEST), ErrorCode.PROTOCOL_ERROR),
    "even stream": (headers_frame(2, REQUEST), ErrorCode.PROTOCOL_ERROR),
    "stream numbers that fall": (
        headers_frame(5, REQUEST) + headers_frame(3, REQUEST),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "headers after the end of the stream": (
        headers_frame(1, REQUEST, frames.END_HEADERS | frames.END_STREAM)
        + frame(frames.RST_STREAM, 1, b"\0\0\0\0")
        + headers_frame(1, TRAILERS),
        ErrorCode.STREAM_CLOSED,
    ),
    "padding over the frame": (
        headers_frame(1, REQUEST) + frame(frames.DATA, 1, b"\x05abc", frames.PADDED),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "padded data without a length": (
        headers_frame(1, REQUEST) + frame(frames.DATA, 1, b"", frames.PADDED),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "padded headers without a length": (
        frame(frames.HEADERS, 1, b"", frames.PADDED),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "goaway that rises": (
        frames.goaway_frame(0, 0) + frames.goaway_frame(2, 0),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "padding over the headers": (
        frame(frames.HEADERS, 1, b"\xff" + encode(REQUEST), frames.PADDED | frames.END_HEADERS),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "continuation from nowhere": (frame(frames.CONTINUATION, 1, b""), ErrorCode.PROTOCOL_ERROR),
    "interrupted block": (
        headers_frame(1, REQUEST, 0) + frames.ping_frame(b"12345678"),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "block continued elsewhere": (
        headers_frame(1, REQUEST, 0) + frame(frames.CONTINUATION, 3, b"", frames.END_HEADERS),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "bad hpack": (
        frame(frames.HEADERS, 1, b"\xff\xff\xff\xff\xff", frames.END_HEADERS),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "hpack index 0": (
        frame(frames.HEADERS, 1, b"\x80", frames.END_HEADERS),
        ErrorCode.COMPRESSION_ERROR,
    ),
    "priority on stream 0": (frame(frames.PRIORITY, 0, bytes(5)), ErrorCode.PROTOCOL_ERROR),
    "reset on stream 0": (frame(frames.RST_STREAM, 0, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "reset of an idle stream": (frame(frames.RST_STREAM, 7, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "short reset": (frame(frames.RST_STREAM, 1, bytes(3)), ErrorCode.FRAME_SIZE_ERROR),
    "settings on a stream": (frame(frames.SETTINGS, 1), ErrorCode.PROTOCOL_ERROR),
    "settings of 5 bytes": (frame(frames.SETTINGS, 0, bytes(5)), ErrorCode.FRAME_SIZE_ERROR),
    "settings ack with a payload": (
        frame(frames.SETTINGS, 0, bytes(6), frames.ACK),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "push of 2": (frames.settings_frame({Setting.ENABLE_PUSH: 2}), ErrorCode.PROTOCOL_ERROR),
    "initial window too large": (
        frames.settings_frame({Setting.INITIAL_WINDOW_SIZE: 2**31}),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "frame size too small": (
        frames.settings_frame({Setting.MAX_FRAME_SIZE: 16_383}),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "frame size too large": (
        frames.settings_frame({Setting.MAX_FRAME_SIZE: 2**24}),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "ping on a stream": (frame(frames.PING, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "ping of 7 bytes": (frame(frames.PING, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "goaway on a stream": (frame(frames.GOAWAY, 1, bytes(8)), ErrorCode.PROTOCOL_ERROR),
    "short goaway": (frame(frames.GOAWAY, 0, bytes(7)), ErrorCode.FRAME_SIZE_ERROR),
    "window update of 0": (frames.window_frame(0, 0), ErrorCode.PROTOCOL_ERROR),
    "window overflow": (frames.window_frame(0, 2**31 - 1), ErrorCode.FLOW_CONTROL_ERROR),
    "window update on an idle stream": (frames.window_frame(9, 1), ErrorCode.PROTOCOL_ERROR),
    "push promise": (frame(frames.PUSH_PROMISE, 1, bytes(4)), ErrorCode.PROTOCOL_ERROR),
    "a block without end": (
        headers_frame(1, REQUEST, 0) + frame(frames.CONTINUATION, 1, b"\0" * 60_000),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "a header list too large": (
        headers_frame(1, [*REQUEST, ("x", "y" * 20_000)]),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "control frame too large": (
        frames.pack_header(20_000, frames.GOAWAY, 0, 0),
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "ping flood": (frames.ping_frame(bytes(8)) * 1001, ErrorCode.ENHANCE_YOUR_CALM),
    "settings flood": (EMPTY_SETTINGS * 1001, ErrorCode.ENHANCE_YOUR_CALM),
    "unknown frame flood": (frame(0xBB, 0) * 1001, ErrorCode.ENHANCE_YOUR_CALM),
    "empty data flood": (
        headers_frame(1, REQUEST) + frame(frames.DATA, 1) * 1001,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
    "priority flood": (frame(frames.PRIORITY, 1, bytes(5)) * 1001, ErrorCode.ENHANCE_YOUR_CALM),
    "empty continuation flood": (
        headers_frame(1, REQUEST, 0) + frame(frames.CONTINUATION, 1) * 1001,
        ErrorCode.ENHANCE_YOUR_CALM,
    ),
}


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
def test_connection_faults(name: str) -> None:
    bad, code = CONNECTION_FAULTS[name]
    server = ready_server()
    events = feed(server, bad)
    assert isinstance(events[-1], ConnectionFailed)
    assert events[-1].code is code, events[-1].why
    goaway = take(server)[-8 - len(events[-1].why) :]
    assert goaway[4:8] == code.to_bytes(4, "big")
    assert feed(server, frames.ping_frame(bytes(8))) == []


@pytest.mark.parametrize("name", CONNECTION_FAULTS)
def test_connection_faults_byte_by_byte(name: str) -> None:
    bad, code = CONNECTION_FAULTS[name]
    server = ready_server()
    events = [event for at in range(len(bad)) for event in feed(server, bad[at : at + 1])]
    failed = [event for event in events if isinstance(event, ConnectionFailed)]
    assert [event.code for event in failed] == [code]


@pytest.mark.parametrize(
    "first",
    [
        b"GET / HTTP/1.1\r\n",
        frames.PREFACE + frames.ping_frame(bytes(8)),
        frames.PREFACE + frames.SETTINGS_ACK,
    ],
)
def test_a_bad_beginning(first: bytes) -> None:
    server = H2Connection(Side.SERVER, Limits())
    server.start()
    [failed] = feed(server, first)
    assert isinstance(failed, ConnectionFailed)
    assert failed.code is ErrorCode.PROTOCOL_ERROR


def test_rapid_reset_is_cut() -> None:
    server = ready_server(Limits(max_streams=10))
    events: list[Event] = []
    stream = 1
    while not any(isinstance(event, ConnectionFailed) for event in events):
        assert stream < 2000, "nobody stops this client"
        encoded = frames.header_frames(stream, encode(REQUEST), 16_384, end_stream=False)
        events = feed(server, encoded + frames.reset_frame(stream, ErrorCode.CANCEL))
        stream += 2
    assert events[-1] == ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "too many streams reset")


def test_more_data_than_the_connection_window() -> None:
    server = ready_server(Limits(stream_window=10_000, connection_window=65_535, max_streams=100))
    raw = b"".join(headers_frame(n, REQUEST) for n in range(1, 40, 2))
    events = feed(server, raw)
    assert not any(isinstance(event, ConnectionFailed) for event in events)
    server._recv_window = 5  # as if nothing had been given back
    [failed] = feed(server, frame(frames.DATA, 1, b"x" * 6))
    assert failed == ConnectionFailed(
        ErrorCode.FLOW_CONTROL_ERROR, "more DATA than the window (6.9.1)"
    )


# ---- faults of one stream ----

STREAM_FAULTS: dict[str, tuple[bytes, ErrorCode]] = {
    "no path": (headers_frame(1, REQUEST[:2]), ErrorCode.PROTOCOL_ERROR),
    "upper case": (headers_frame(1, [*REQUEST, ("Bad", "x")]), ErrorCode.PROTOCOL_ERROR),
    "depends on itself": (
        frame(
            frames.HEADERS,
            5,
            SELF_DEPENDENT + encode(REQUEST),
            frames.PRIORITIZED | frames.END_HEADERS,
        ),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "priority of 4 bytes": (
        headers_frame(1, REQUEST) + frame(frames.PRIORITY, 1, bytes(4)),
        ErrorCode.FRAME_SIZE_ERROR,
    ),
    "data after the end": (
        headers_frame(1, REQUEST, frames.END_HEADERS | frames.END_STREAM)
        + frame(frames.DATA, 1, b"x"),
        ErrorCode.STREAM_CLOSED,
    ),
    "headers after the end": (
        headers_frame(1, REQUEST, frames.END_HEADERS | frames.END_STREAM)
        + headers_frame(1, TRAILERS, frames.END_HEADERS | frames.END_STREAM),
        ErrorCode.STREAM_CLOSED,
    ),
    "trailers without an end": (
        headers_frame(1, REQUEST) + headers_frame(1, TRAILERS),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "pseudo-header in trailers": (
        headers_frame(1, REQUEST)
        + headers_frame(1, RESPONSE, frames.END_HEADERS | frames.END_STREAM),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "body longer than content-length": (
        headers_frame(1, [*REQUEST, ("content-length", "1")])
        + frame(frames.DATA, 1, b"xx", frames.END_STREAM),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "no body for a content-length": (
        headers_frame(
            1, [*REQUEST, ("content-length", "1")], frames.END_HEADERS | frames.END_STREAM
        ),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "window update of 0": (
        headers_frame(1, REQUEST) + frames.window_frame(1, 0),
        ErrorCode.PROTOCOL_ERROR,
    ),
    "window overflow": (
        headers_frame(1, REQUEST) + frames.window_frame(1, 2**31 - 1),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
    "more data than the window": (
        headers_frame(1, REQUEST) + frame(frames.DATA, 1, b"x" * 2001),
        ErrorCode.FLOW_CONTROL_ERROR,
    ),
}


@pytest.mark.parametrize("name", STREAM_FAULTS)
def test_stream_faults_end_one_stream(name: str) -> None:
    bad, code = STREAM_FAULTS[name]
    server = ready_server(Limits(stream_window=2000))
    events = feed(server, bad)
    resets = [event for event in events if isinstance(event, StreamReset)]
    assert [(event.code, event.by_peer) for event in resets] == [(code, False)], events
    assert frames.reset_frame(resets[0].stream, code) in take(server)
    fresh = hpack.Encoder().encode([*REQUEST, ("x-next", "1")])
    next_stream = frames.header_frames(11, bytes(fresh), 16_384, end_stream=True)
    assert feed(server, next_stream) == [
        HeadersReceived(11, [*REQUEST, ("x-next", "1")], ended=True)
    ]


def test_data_before_response_headers() -> None:
    client, stream = ready_client()
    [reset] = feed(client, frame(frames.DATA, stream, b"x"))
    assert isinstance(reset, StreamReset)
    assert (reset.code, reset.by_peer) == (ErrorCode.PROTOCOL_ERROR, False)


# ---- random splits and interleavings ----

Verb = Callable[[H2Connection, H2Connection], None]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_random_scripts_deliver_every_byte_in_order(data: st.DataObject) -> None:
    """Random sends on several streams, random splits on the way, random credit: nothing lost or mixed."""
    limits = Limits(stream_window=data.draw(st.integers(100, 3000)), connection_window=65_535)
    client, server = pair(limits)
    streams = [client.open_stream(REQUEST) for _ in range(data.draw(st.integers(1, 3)))]
    sent = dict.fromkeys(streams, b"")
    got = dict.fromkeys(streams, b"")
    ended: set[int] = set()
    events: list[Event] = []

    def carry(source: H2Connection, target: H2Connection) -> None:
        raw = take(source)
        while raw:
            size = data.draw(st.integers(1, len(raw)))
            events.extend(feed(target, raw[:size]))
            raw = raw[size:]

    for _ in range(data.draw(st.integers(1, 12))):
        stream = data.draw(st.sampled_from(streams))
        chunk = bytes([stream]) * data.draw(st.integers(0, 2000))
        if stream not in ended:
            sent[stream] += chunk
            client.send_data(stream, (chunk[:7], chunk[7:]), len(chunk))
            if data.draw(st.integers(0, 4)) == 0:
                client.end_stream(stream)
                ended.add(stream)
        if data.draw(st.booleans()):
            carry(client, server)
            carry(server, client)
    for stream in streams:
        if stream not in ended:
            client.end_stream(stream)
    for _ in range(200):
        carry(client, server)
        for event in events:
            if isinstance(event, DataReceived):
                got[event.stream] += event.data
                server.credit(event.stream, len(event.data))
        done = {event.stream for event in events if isinstance(event, StreamEnded)}
        events[:] = [event for event in events if isinstance(event, StreamEnded)]
        carry(server, client)
        if done == set(streams):
            break
    assert got == sent
    assert not any(isinstance(event, ConnectionFailed) for event in events)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(max_size=60), max_size=20))
def test_garbage_never_raises(chunks: list[bytes]) -> None:
    server = ready_server()
    for chunk in chunks:
        feed(server, chunk)


@settings(max_examples=300, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.integers(0, 11), st.integers(0, 6), st.integers(0, 255), st.binary(max_size=30)
        ),
        max_size=20,
    )
)
def test_random_frames_never_raise(raw: list[tuple[int, int, int, bytes]]) -> None:
    server = ready_server()
    client, _ = ready_client()
    for kind, stream, flags, payload in raw:
        feed(server, frame(kind, stream, payload, flags))
        feed(client, frame(kind, stream, payload, flags))


def test_settings_event_comes_once() -> None:
    server = H2Connection(Side.SERVER, Limits())
    server.start()
    assert feed(server, frames.PREFACE + EMPTY_SETTINGS) == [SettingsReceived()]
    assert feed(server, EMPTY_SETTINGS) == []


# ---- floods and leaving ----


def test_a_peer_that_does_not_read_our_answers_is_cut() -> None:
    server = ready_server()
    sent = 0
    now = 0.0
    while True:
        now += 1.0
        events = feed(server, frames.ping_frame(bytes(8)) * 100, now)
        sent += 100
        if events and isinstance(events[-1], ConnectionFailed):
            break
        assert sent < 500_000, "nobody stops this client"
    assert events[-1] == ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, "our answers are not read")


def test_a_peer_that_reads_may_go_on() -> None:
    server = ready_server()
    for second in range(3000):
        assert feed(server, frames.ping_frame(bytes(8)) * 100, float(second)) == []
        take(server)
        server.flushed(0)


@pytest.mark.parametrize(
    ("flood", "why"),
    [
        (frames.window_frame(0, 1) * 2001, "too many WINDOW_UPDATE frames"),
        (
            frame(frames.DATA, 1, b"\x05" + bytes(5), frames.PADDED) * 1001,
            "too many DATA frames of padding alone",
        ),
        (
            frames.reset_frame(1, 8) * 1002,
            "too many RST_STREAM frames on closed streams",
        ),
        (frame(frames.SETTINGS, 0, bytes(6 * 65)), "too many settings in a frame"),
    ],
)
def test_floods_that_carry_nothing(flood: bytes, why: str) -> None:
    server = ready_server()
    events = feed(server, headers_frame(1, REQUEST) + flood)
    assert events[-1] == ConnectionFailed(ErrorCode.ENHANCE_YOUR_CALM, why)


def test_updates_for_what_we_sent_are_no_flood() -> None:
    server = ready_server()
    feed(server, headers_frame(1, REQUEST))
    for _ in range(5000):
        server.send_data(1, (b"x",), 1)
        assert feed(server, frames.window_frame(0, 1)) == []


def test_a_graceful_goaway_takes_what_is_under_way() -> None:
    client, server = pair()
    server.leave()
    late = client.open_stream(REQUEST)  # crosses the GOAWAY
    _, at_server = exchange(client, server)
    assert at_server == [HeadersReceived(late, REQUEST, ended=False)]
    assert server.gone
    assert not client.may_open
    assert client.is_open(late)


def test_who_leaves_opens_no_stream() -> None:
    client, _ = pair()
    client.go_away()
    assert not client.may_open


def test_what_is_queued_is_told_until_it_is_taken() -> None:
    client, stream = ready_client()
    client.send_data(stream, (b"x" * 100,), 100)
    assert client.queued == 100
    take(client)
    client.flushed(0)
    assert client.queued == 0


def test_a_number_of_a_thousand_digits_is_a_fault_and_no_crash() -> None:
    server = ready_server()
    events = feed(server, headers_frame(1, [*REQUEST, ("content-length", "9" * 5000)]))
    assert [event.code for event in events if isinstance(event, StreamReset)] == [
        ErrorCode.PROTOCOL_ERROR
    ]
