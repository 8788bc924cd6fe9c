# SPDX-License-Identifier: Apache-2.0
"""Messages that wait: order, cost, and that one under assembly does not count as waiting."""

from __future__ import annotations

from wire.h2io.inbox import LARGE, MESSAGE_COST, Inbox


def test_pieces_become_a_message_and_cost_what_they_hold() -> None:
    inbox = Inbox()
    assert not inbox.put(memoryview(b"ab"), 0, 4)
    assert (len(inbox), inbox.size, inbox.waiting) == (0, 2 + MESSAGE_COST, 0)
    assert inbox.put(memoryview(b"cd"), 2, 4)
    assert (len(inbox), inbox.waiting) == (1, 4 + MESSAGE_COST)
    assert inbox.take() == b"abcd"
    assert inbox.size == inbox.waiting == 0


def test_empty_messages_cost_something() -> None:
    inbox = Inbox()
    for _ in range(100):
        assert inbox.put(memoryview(b""), 0, 0)
    assert inbox.waiting == 100 * MESSAGE_COST


def test_what_is_begun_can_be_taken_over() -> None:
    inbox = Inbox()
    inbox.put(memoryview(b"ab"), 0, 4)
    assert inbox.take_begun() == b"ab"
    assert (inbox.size, inbox.take_begun()) == (0, b"")


def test_a_large_message_gets_its_memory_once_half_is_there_and_is_charged_for_it() -> None:
    inbox, whole = Inbox(), bytes(range(256)) * (LARGE // 128)
    assert not inbox.put(memoryview(whole)[: LARGE - 1], 0, len(whole))
    assert (
        inbox.size == LARGE - 1 + MESSAGE_COST
    )  # half is not there: nothing was announced into memory
    assert not inbox.put(memoryview(whole)[LARGE - 1 : LARGE], LARGE - 1, len(whole))
    assert inbox.size == len(whole) + MESSAGE_COST
    assert inbox.waiting == 0
    assert not inbox.put(memoryview(whole)[LARGE:-1], LARGE, len(whole))
    assert inbox.put(memoryview(whole)[-1:], len(whole) - 1, len(whole))
    assert inbox.size == inbox.waiting == len(whole) + MESSAGE_COST
    assert inbox.take() == whole
    assert inbox.size == 0


def test_what_was_reserved_is_not_taken_over() -> None:
    inbox = Inbox()
    inbox.put(memoryview(b"x" * LARGE), 0, 2 * LARGE)
    assert inbox.take_begun() == b"x" * LARGE
    assert inbox.size == 0
    assert not inbox.put(memoryview(b"ab"), 0, 4)
    assert inbox.size == 2 + MESSAGE_COST
