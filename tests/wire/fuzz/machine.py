# SPDX-License-Identifier: Apache-2.0
"""Any bytes, cut anywhere, into the HTTP/2 machine of either side: what must hold whatever they are.

The first ``CONTROL`` bytes of an input choose what we do; the rest is the peer's. Either the owner is passive, and
then however the bytes are cut, events, answers and state are the same; or it acts on what it hears, by a script. Always: no
exception, one ``ConnectionFailed`` at most and nothing after it, buffers within the limits, what we wrote legal.
A machine that did not fail, and is between two frames, answers a PING: no fault is lost in waiting for more.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.wire.fuzz.written import OUR_BODY, allowed_by, judge
from wire.h2 import frames
from wire.h2.connection import REMEMBERED_STREAMS, H2Connection, Side
from wire.h2.events import ConnectionFailed, DataReceived, Event
from wire.h2.headers import Headers
from wire.h2.limits import Limits
from wire.h2.walk import MAX_CONTROL_FRAME

CONTROL = 8
LIMITS = Limits(max_streams=4, max_header_list=1024, stream_window=3000, connection_window=70_000)
REQUEST: Headers = [(":method", "POST"), (":scheme", "http"), (":path", "/s/M"), ("te", "trailers")]
RESPONSE: Headers = [(":status", "200"), ("content-type", "application/grpc")]
TRAILERS: Headers = [("grpc-status", "0"), ("authorization", "secret")]
PING = frames.ping_frame(b"8 octets")
SIZES = (0, 1, 700, 40_000)


def server(data: bytes) -> None:
    _run(Side.SERVER, data)


def client(data: bytes) -> None:
    _run(Side.CLIENT, data)


def _run(side: Side, data: bytes) -> None:
    control, given = data[:CONTROL].ljust(CONTROL, b"\0"), data[CONTROL:]
    if control[0] & 1:
        Talk(side, control, acts=True).hear(given, control[1])
        return
    whole = Talk(side, control).hear(given, 0)
    cut = Talk(side, control).hear(given, control[1] or 7)
    assert whole.told == cut.told
    assert whole.wrote == cut.wrote
    if not whole.machine.failed:
        assert _state(whole.machine) == _state(cut.machine)
    _answers_a_ping(whole)


@dataclass(slots=True)
class Talk:
    """One machine, its owner, and all that both said."""

    side: Side
    control: bytes
    acts: bool = False
    machine: H2Connection = field(init=False)
    told: list[Event] = field(default_factory=list)
    wrote: bytearray = field(default_factory=bytearray)
    _step: int = 2
    _answered: set[int] = field(default_factory=set)
    _taken: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.machine = H2Connection(self.side, LIMITS)
        self.machine.start()
        if self.side is Side.CLIENT:
            for number in range(1 + self.control[7] % 3):
                self._request(SIZES[(self.control[7] >> 2) + number & 3])

    def hear(self, given: bytes, cut: int) -> Talk:
        """All of ``given``, in pieces that ``cut`` chooses; what was written is judged at the end."""
        failed = False
        for piece in _pieces(given, cut):
            events = self.machine.receive(piece, 0.0)
            assert not (failed and events), "events after the failure"
            for event in events:
                self._note(event)
                failed = failed or isinstance(event, ConnectionFailed)
                if self.acts:
                    self._act(event)
            assert not failed or isinstance(self.told[-1], ConnectionFailed)
            self._collect()
            piece[:] = bytes(len(piece))  # the read buffer is used again
            _check_bounds(self.machine)
        assert failed is self.machine.failed
        self._collect()
        judge(bytes(self.wrote), allowed_by(given), client=self.side is Side.CLIENT)
        return self

    def _note(self, event: Event) -> None:
        if not isinstance(event, DataReceived):
            self.told.append(event)
            return
        data, last = bytes(event.data), self.told[-1] if self.told else None
        assert data, "an empty piece"
        if isinstance(last, DataReceived) and last.stream == event.stream:
            self.told.pop()
            data = bytes(last.data) + data
        self.told.append(DataReceived(event.stream, memoryview(data)))

    def _collect(self) -> None:
        self.wrote += b"".join(self.machine.out)
        self.machine.out.clear()
        self.machine.flushed(0)

    # ---- the owner ----

    def _request(self, size: int) -> None:
        number = self.machine.open_stream(REQUEST)
        self.machine.send_data(number, (OUR_BODY * size,), size)
        if self.control[6] & 1:
            self.machine.end_stream(number)

    def _act(self, event: Event) -> None:
        """One verb of the script, where the contract of the machine allows it."""
        verb = self.control[2 + self._step % 4]
        self._step += 1
        machine, stream = self.machine, getattr(event, "stream", 0)
        if isinstance(event, DataReceived):
            self._taken[stream] = self._taken.get(stream, 0) + len(event.data)
        match verb & 7:
            case 1 | 2 if stream:
                self._answer(stream, SIZES[verb >> 3 & 3], ended=verb & 7 == 2)
            case 3 if stream:
                machine.reset(stream)
            case 4 if stream:
                machine.credit(stream, self._taken.pop(stream, 0))
            case 5:
                machine.ping(b"8 octets")
            case 6:
                machine.leave()
            case 7 if self.side is Side.CLIENT and machine.may_open:
                self._request(SIZES[verb >> 3 & 3])
            case _:
                pass

    def _answer(self, number: int, size: int, *, ended: bool) -> None:
        """Headers once and first, then body; memory that changes after the call, as a read buffer's does."""
        machine, memory = self.machine, bytearray(OUR_BODY * size)
        if self.side is Side.SERVER and number not in self._answered:
            self._answered.add(number)
            machine.send_headers(number, RESPONSE)
        machine.send_data(number, (memoryview(memory),), size)
        self._collect()
        memory[:] = bytes(size)
        if ended:
            machine.end_stream(number, TRAILERS if self.side is Side.SERVER else [])


def _pieces(data: bytes, cut: int) -> Iterator[memoryview]:
    """0: all at once; 1: byte by byte; else sizes from a small generator that ``cut`` seeds."""
    view, at, state = memoryview(bytearray(data)), 0, cut
    while at < len(view):
        state = state * 75 + 74 & 0xFFFF
        size = len(view) if cut == 0 else 1 if cut == 1 else 1 + state % (cut + 9)
        yield view[at : at + size]
        at += size


def _check_bounds(machine: H2Connection) -> None:
    assert machine.open_streams <= max(LIMITS.max_streams, 100_000 * (machine.side is Side.CLIENT))
    assert len(machine._held) <= 9 + max(MAX_CONTROL_FRAME, LIMITS.max_header_block)
    assert machine._blocks.size <= LIMITS.max_header_block
    assert machine._blocks._decoder.header_table_size <= 4096
    assert len(machine._lately_closed) <= REMEMBERED_STREAMS
    assert machine._recv_window >= 0 or machine.failed


def _state(machine: H2Connection) -> object:
    return (
        {number: stream.state for number, stream in machine._streams.items()},
        machine._lately_closed,
        bytes(machine._held),
        machine._blocks.size,
        machine._data_left,
        machine._skip_left,
        machine._recv_window,
        {number: stream.recv_window for number, stream in machine._streams.items()},
    )


def _answers_a_ping(talk: Talk) -> None:
    machine = talk.machine
    between = not (
        machine._held or machine._data_left or machine._skip_left or machine._preface_left
    )
    if machine.failed or not machine.ready or not between or machine._blocks.open:
        return
    events = machine.receive(memoryview(PING), 1000.0)
    assert b"".join(machine.out).endswith(frames.ping_frame(b"8 octets", ack=True)), events
