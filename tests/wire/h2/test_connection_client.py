# SPDX-License-Identifier: Apache-2.0
"""The client's half of the machine against every wrong of ``misbehaving``, in the smallest pieces and in one."""

from __future__ import annotations

import pytest

from tests.support.h2frames import EMPTY_SETTINGS, REQUEST, Frame, take_frames
from tests.wire.misbehaving import BEGINNINGS, CASES, LIMITS, Case
from wire.h2 import frames
from wire.h2.connection import H2Connection, Side
from wire.h2.events import ConnectionFailed
from wire.h2.frames import ErrorCode


def asking() -> H2Connection:
    """A client whose request is whole."""
    client = H2Connection(Side.CLIENT, LIMITS)
    client.start()
    client.receive(memoryview(EMPTY_SETTINGS), 0.0)
    client.end_stream(client.open_stream(REQUEST))
    said(client)
    return client


def said(client: H2Connection) -> list[Frame]:
    raw = bytearray(b"".join(client.out).removeprefix(frames.PREFACE))
    client.out.clear()
    client.flushed(0)
    return take_frames(raw)


def play(client: H2Connection, says: bytes, size: int) -> tuple[list[ErrorCode], list[ErrorCode]]:
    """The codes of GOAWAY, and those of RST_STREAM on stream 1."""
    heard: list[Frame] = []
    for at in range(0, len(says), size):
        events = client.receive(memoryview(says[at : at + size]), 0.0)
        heard += said(client)
        if any(isinstance(event, ConnectionFailed) for event in events):
            break
    told = [frames.unpack_goaway(each.payload)[1] for each in heard if each.kind == frames.GOAWAY]
    resets = [
        ErrorCode.of(frames.unpack_u32(each.payload))
        for each in heard
        if each.kind == frames.RST_STREAM and each.stream == 1
    ]
    return told, resets


def whole_and_in_pieces(case: Case) -> list[int]:
    return [len(case.says), 1] if len(case.says) < 2000 else [len(case.says), 997]


@pytest.mark.parametrize("name", CASES)
def test_after_a_good_beginning(name: str) -> None:
    case = CASES[name]
    for size in whole_and_in_pieces(case):
        told, resets = play(asking(), case.says, size)
        # whether a message is good gRPC, and when to leave, is not this machine's business
        goaway = case.goaway if case.goaway is not ErrorCode.NO_ERROR else None
        reset = case.reset if case.reset is not ErrorCode.CANCEL else None
        assert told == ([] if goaway is None else [goaway]), (case.rule, size)
        assert resets == ([] if reset is None else [reset]), (case.rule, size)


@pytest.mark.parametrize("name", BEGINNINGS)
def test_a_bad_beginning(name: str) -> None:
    rule, says, code = BEGINNINGS[name]
    for size in (len(says), 1):
        client = H2Connection(Side.CLIENT, LIMITS)
        client.start()
        said(client)
        assert play(client, says, size) == ([code], []), rule
        assert not client.ready or rule == "6.5.2"
