# SPDX-License-Identifier: Apache-2.0
"""Header blocks of any bytes, one after the other in one connection, and each list that decodes sent on.

An input is a row of ``[how, length, bytes]``: ``how`` cuts the block in two frames and changes our table's size; without
bytes it is only that.
"""

from __future__ import annotations

import hpack
from hpack.table import HeaderTable

from wire.h2 import frames
from wire.h2.blocks import MAX_TABLE, BlockReader, BlockWriter
from wire.h2.faults import ConnectionFault
from wire.h2.frames import ErrorCode
from wire.h2.headers import (
    Headers,
    content_length,
    field_fault,
    request_fault,
    response_fault,
    trailers_fault,
)

MAX_LIST = 2048
SECRETS = {b"authorization", b"cookie", b"proxy-authorization", b"set-cookie"}


def blocks(data: bytes) -> None:
    reader, writer = BlockReader(MAX_LIST), BlockWriter()
    peer = hpack.Decoder(max_header_list_size=1 << 20)
    at = 0
    while at + 2 <= len(data):
        how, length = data[at], data[at + 1] << (data[at] >> 6)
        block = data[at + 2 : at + 2 + length]
        at += 2 + length
        if how & 1:
            size = (how >> 1 & 31) * 300
            writer.set_table_size(size)
            peer.max_allowed_table_size = size
        if not block:
            continue
        try:
            headers = _read(reader, block, cut=how >> 1 & 31)
        except ConnectionFault as fault:
            _check_fault(fault)
            return  # the tables are lost with it
        assert not reader.open
        _check_list(headers)
        assert reader._decoder.header_table_size <= MAX_TABLE
        assert _held(reader._decoder.header_table) <= MAX_TABLE
        assert _sent_on(writer, peer, headers) == headers
        assert _held(writer._encoder.header_table) <= MAX_TABLE
        assert not SECRETS & {
            bytes(name) for name, _ in writer._encoder.header_table.dynamic_entries
        }


def _read(reader: BlockReader, block: bytes, *, cut: int) -> Headers:
    if cut == 0 or cut > len(block):
        headers = reader.begin(frames.END_HEADERS, 1, block)
    else:
        assert reader.begin(0, 1, block[:cut]) is None
        assert reader.open
        assert reader.size == cut
        headers = reader.go_on(frames.END_HEADERS, block[cut:])
    assert headers is not None
    return headers


def _check_fault(fault: ConnectionFault) -> None:
    assert fault.code in {ErrorCode.COMPRESSION_ERROR, ErrorCode.ENHANCE_YOUR_CALM}


def _check_list(headers: Headers) -> None:
    assert sum(len(name) + len(value) + 32 for name, value in headers) <= MAX_LIST
    for judge in (request_fault, response_fault, trailers_fault):
        assert isinstance(judge(headers), str)
    length = content_length(headers)
    assert length is None or length >= -1
    if not trailers_fault(headers):  # what we take as trailers we may send on as metadata
        assert not any(field_fault(name, value) for name, value in headers)


def _sent_on(writer: BlockWriter, peer: hpack.Decoder, headers: Headers) -> Headers:
    block = writer.encode(headers)
    written = frames.header_frames(1, block, 64, end_stream=False)
    parts, at = [], 0
    while at < len(written):
        head = frames.unpack_header(written, at)
        parts.append(written[at + 9 : at + 9 + head.length])
        at += 9 + head.length
    assert b"".join(parts) == block
    decoded = peer.decode(block, raw=True)
    return [
        (bytes(name).decode("latin-1"), bytes(value).decode("latin-1")) for name, value in decoded
    ]


def _held(table: HeaderTable) -> int:
    return sum(len(name) + len(value) + 32 for name, value in table.dynamic_entries)
