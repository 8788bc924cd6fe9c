# SPDX-License-Identifier: Apache-2.0
"""What every pair of client and server has to do alike, as scripts. Pure."""

from __future__ import annotations

from tests.wire.witness.script import Call, Conversation, Kind
from wire.h2io import Code

MIB = 1 << 20
DETAILS = "nö: 100 % of »that« is\tnot\r\nhere 🚢"
BINARY = (("x-any-bin", bytes(range(256)).hex()), ("x-any-bin", "00"), ("x-empty-bin", ""))


def unary() -> Call:
    conversation = Conversation(Kind.UNARY)
    conversation.client_sends(100)
    conversation.server_sends(200)
    conversation.end()
    return conversation.call()


def server_stream() -> Call:
    conversation = Conversation(Kind.PULL)
    conversation.client_sends(0)
    conversation.server_sends(0, 1, 16_379, 16_380, 70_000, 0)
    conversation.end()
    return conversation.call()


def client_stream() -> Call:
    conversation = Conversation(Kind.PUSH)
    conversation.client_sends(0, 1, 16_379, 16_380, 70_000, 0)
    conversation.half_close()
    conversation.server_sends(5)
    conversation.end()
    return conversation.call()


def chat() -> Call:
    conversation = Conversation()
    conversation.headers()
    for size in (0, 1, 65_530, 65_531, 65_536, 300_000):
        conversation.client_sends(size)
        conversation.server_sends(size)
    conversation.half_close()
    conversation.server_sends(7)
    conversation.end()
    return conversation.call()


def error() -> Call:
    """After a message, with text that has to be percent-encoded, and trailers."""
    conversation = Conversation()
    conversation.client_sends(10)
    conversation.server_sends(10)
    conversation.end(Code.FAILED_PRECONDITION, DETAILS, ("x-why", "because, and so"), *BINARY)
    return conversation.call()


def error_alone() -> Call:
    """A status and nothing else ("Trailers-Only")."""
    conversation = Conversation(Kind.UNARY)
    conversation.client_sends(10)
    conversation.end(Code.PERMISSION_DENIED, DETAILS, ("x-why", "because"))
    return conversation.call()


def cancel() -> Call:
    conversation = Conversation()
    conversation.client_sends(10)
    conversation.server_sends(10)
    conversation.cancel()
    return conversation.call()


def deadline() -> Call:
    """The server says nothing, and the time is over soon."""
    conversation = Conversation()
    conversation.hang()
    return conversation.call(timeout=0.2, hopeless=True)


def big(size: int = 12 * MIB) -> Call:
    """One message each way over many windows."""
    conversation = Conversation(Kind.UNARY)
    conversation.client_sends(size)
    conversation.server_sends(size)
    conversation.end()
    return conversation.call()


def metadata() -> Call:
    conversation = Conversation()
    conversation.headers(("x-first", "1"), ("x-first", "2"), *BINARY)
    conversation.client_sends(1)
    conversation.half_close()
    conversation.end(Code.OK, "", ("x-last", "~ }"), *BINARY)
    return conversation.call(fields=[("x-mine", 'a "b", c'), ("x-mine", "d"), *BINARY])


SCENARIOS = {
    one.__name__: one
    for one in (
        unary,
        server_stream,
        client_stream,
        chat,
        error,
        error_alone,
        cancel,
        deadline,
        big,
        metadata,
    )
}
