# SPDX-License-Identifier: Apache-2.0
"""gRPC's own layer: framing under any split, percent-encoding, timeouts, what ends mean."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.h2.frames import ErrorCode
from wire.h2.grpc import (
    Code,
    MessageReader,
    RpcError,
    Status,
    decode_message,
    encode_message,
    format_timeout,
    is_grpc,
    message_prefix,
    parse_timeout,
    status_of_reset,
    status_of_trailers,
    status_trailers,
)


def read_all(reader: MessageReader, chunks: list[bytes]) -> list[bytes]:
    messages: list[bytes] = []
    begun = b""
    for chunk in chunks:
        for piece, offset, length in reader.feed(memoryview(chunk)):
            assert offset == len(begun)
            begun += piece
            if len(begun) == length:
                messages.append(begun)
                begun = b""
    assert reader.mid_message or not begun
    return messages


@given(st.lists(st.binary(max_size=50), max_size=8), st.data())
def test_messages_survive_any_split(messages: list[bytes], data: st.DataObject) -> None:
    stream = b"".join(message_prefix(len(m)) + m for m in messages)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    edges = [0, *cuts, len(stream)]
    chunks = [stream[a:b] for a, b in pairwise(edges)]
    reader = MessageReader(0)
    assert read_all(reader, chunks) == messages
    assert not reader.mid_message


@given(st.binary(min_size=1, max_size=50), st.data())
def test_a_cut_message_is_noticed(message: bytes, data: st.DataObject) -> None:
    stream = message_prefix(len(message)) + message
    reader = MessageReader(0)
    read_all(reader, [stream[: data.draw(st.integers(1, len(stream) - 1))]])
    assert reader.mid_message


def test_oversized_message_is_refused_by_its_prefix_alone() -> None:
    with pytest.raises(RpcError, match=r"larger than max \(11 vs. 10\)") as caught:
        list(MessageReader(10).feed(memoryview(message_prefix(11))))
    assert caught.value.status.code is Code.RESOURCE_EXHAUSTED


def test_compressed_message_is_refused() -> None:
    with pytest.raises(RpcError) as caught:
        list(MessageReader(0).feed(memoryview(b"\x01\0\0\0\x01x")))
    assert caught.value.status.code is Code.INTERNAL


@given(st.text())
def test_message_encoding_round_trip(text: str) -> None:
    encoded = encode_message(text)
    assert encoded.isascii()
    assert not set(encoded) & set("\r\n")
    if not any(0xD800 <= ord(char) < 0xE000 for char in text):
        assert decode_message(encoded) == text


@pytest.mark.parametrize("text", ["%", "%4", "%zz", "a%", "%+1", "% 1"])
def test_bad_escapes_stay_as_they_came(text: str) -> None:
    assert decode_message(text) == text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1S", 1.0),
        ("250m", 0.25),
        ("2H", 7200.0),
        ("99999999n", 0.099999999),
        ("3M", 180.0),
        ("5u", 5e-6),
    ],
)
def test_timeouts(text: str, seconds: float) -> None:
    assert parse_timeout(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "S", "1", "1s", "-1S", "123456789S", "1.5S", "١S"])
def test_malformed_timeouts_count_as_absent(text: str) -> None:
    assert parse_timeout(text) is None


@given(st.floats(0, 10**8, allow_nan=False))
def test_a_formatted_timeout_is_valid_and_never_shorter(seconds: float) -> None:
    parsed = parse_timeout(format_timeout(min(seconds, 99_999_999)))
    assert parsed is not None
    assert parsed >= min(seconds, 99_999_999) * (1 - 1e-15)
    assert parsed <= seconds * 1.00002 + 1e-9


@pytest.mark.parametrize(
    ("trailers", "http", "status"),
    [
        ([("grpc-status", "0")], "200", Status(Code.OK)),
        (
            [("grpc-status", "5"), ("grpc-message", "no%20way")],
            "200",
            Status(Code.NOT_FOUND, "no way"),
        ),
        ([("grpc-status", "99")], "200", Status(Code.UNKNOWN)),
        ([("grpc-status", "x")], "200", Status(Code.UNKNOWN)),
    ],
)
def test_status_of_trailers(trailers: list[tuple[str, str]], http: str, status: Status) -> None:
    assert status_of_trailers(trailers, http) == status


@pytest.mark.parametrize(
    ("http", "code"),
    [("503", Code.UNAVAILABLE), ("404", Code.UNIMPLEMENTED), ("200", Code.UNKNOWN)],
)
def test_an_answer_without_grpc_status_is_told_by_http(http: str, code: Code) -> None:
    assert status_of_trailers([], http).code is code


@pytest.mark.parametrize("text", [" a", "a ", " ", "  a b  ", "\ta"])
def test_a_status_message_may_begin_and_end_in_spaces(text: str) -> None:
    """RFC 9113 section 8.2.1 forbids them there, so they are escaped, and only there."""
    encoded = encode_message(text)
    assert encoded.strip(" \t") == encoded
    assert decode_message(encoded) == text
    assert encode_message("a b") == "a b"


@pytest.mark.parametrize(
    ("kind", "good"),
    [
        ("application/grpc", True),
        ("application/grpc+proto", True),
        ("application/grpc;charset=utf-8", True),
        ("Application/GRPC", True),
        ("application/grpc-web", False),
        ("application/grpcx", False),
        ("application/json", False),
        ("", False),
    ],
)
def test_content_types(kind: str, good: bool) -> None:
    assert is_grpc(kind) is good


def test_resets_map_to_codes() -> None:
    assert status_of_reset(ErrorCode.REFUSED_STREAM).code is Code.UNAVAILABLE
    assert status_of_reset(ErrorCode.CANCEL).code is Code.CANCELLED
    assert status_of_reset(ErrorCode.PROTOCOL_ERROR).code is Code.INTERNAL


def test_trailers_tell_the_status() -> None:
    assert status_trailers(Status(Code.OK)) == [("grpc-status", "0")]
    told = status_trailers(Status(Code.ABORTED, "ä\n"))
    assert told == [("grpc-status", "10"), ("grpc-message", "%C3%A4%0A")]
