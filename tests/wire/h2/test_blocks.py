# SPDX-License-Identifier: Apache-2.0
"""Field blocks: what is sent is read, secrets stay out of tables, table sizes cannot pile up."""

from __future__ import annotations

import hpack
import pytest

from wire.h2 import frames
from wire.h2.blocks import BlockReader, BlockWriter
from wire.h2.faults import ConnectionFault


def test_bytes_of_a_value_survive_reading_and_sending() -> None:
    reader, writer = BlockReader(16_384), BlockWriter()
    fields = [("x-a", "\xc3\xa4"), ("x-b", "1")]
    assert reader.begin(frames.END_HEADERS, 1, writer.encode(fields)) == fields


def test_a_token_is_never_indexed() -> None:
    [field] = hpack.Decoder().decode(BlockWriter().encode([("authorization", "Bearer t")]))
    assert isinstance(field, hpack.NeverIndexedHeaderTuple)


def test_table_sizes_are_told_as_the_smallest_and_the_last() -> None:
    reader, writer = BlockReader(16_384), BlockWriter()
    writer.encode([("x-warm", "up")])
    for value in [100, 0, *range(1, 2000)]:
        writer.set_table_size(value)
    block = writer.encode([("x-a", "1")])
    assert len(block) < 20
    assert reader.begin(frames.END_HEADERS, 1, block) == [("x-a", "1")]


@pytest.mark.parametrize("sizes", [(9, 9), (2000, 9), (9, 2000), (2000, 9, 1000), (9, 0, 9)])
def test_sizes_set_between_two_blocks_are_told_as_the_last_allows(sizes: tuple[int, ...]) -> None:
    writer, peer = BlockWriter(), hpack.Decoder()
    for size in sizes:
        writer.set_table_size(size)
    peer.max_allowed_table_size = sizes[-1]
    assert peer.decode(writer.encode([("x-a", "1")]), raw=True) == [(b"x-a", b"1")]


def test_a_block_in_parts() -> None:
    reader = BlockReader(16_384)
    block = BlockWriter().encode([("x-a", "1")])
    assert reader.begin(0, 1, block[:2]) is None
    assert (reader.open, reader.size, reader.stream) == (True, 2, 1)
    assert reader.go_on(frames.END_HEADERS, block[2:]) == [("x-a", "1")]
    with pytest.raises(ConnectionFault):
        reader.go_on(frames.END_HEADERS, b"")
