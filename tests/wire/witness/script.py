# SPDX-License-Identifier: Apache-2.0
"""Scripts of calls, and what each side saw of them. Pure.

A script is played by any client with any server: ours, grpcio's, grpc-go's (``tools/grpcgo/script.go`` is the same
player again). Both sides have steps of their own, played one after the other, and the server's travel in the call's
metadata. ``Conversation`` writes both sides at once, so that what one sends the other expects: an outcome is settled by
the script and not by who was faster.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from wire.h2io import Code

PLAN, ID = "x-plan", "x-id"
FROM_CLIENT, FROM_SERVER = 0, 1
_PERIOD = bytes(range(251))
"""A prime length, so that a piece in the wrong place shows."""

Field = tuple[str, str]
"""A name and its value; those of names in ``-bin`` are written as hexadecimal digits."""


class Do(StrEnum):
    """The moves of a side; ``tools/grpcgo/script.go`` says what each is."""

    SEND = "send"
    RECEIVE = "receive"
    CROSS = "cross"
    PAUSE = "pause"
    HEADERS = "headers"
    HALF_CLOSE = "half_close"
    CANCEL = "cancel"
    HANG = "hang"
    END = "end"
    GATE = "gate"
    """Until the test says so; only our own side knows it."""


class Kind(StrEnum):
    """The shape of a method."""

    UNARY = "unary"
    PULL = "pull"
    PUSH = "push"
    CHAT = "chat"

    @property
    def one_request(self) -> bool:
        return self in {Kind.UNARY, Kind.PULL}

    @property
    def one_reply(self) -> bool:
        return self in {Kind.UNARY, Kind.PUSH}


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One move of one side."""

    do: Do
    sizes: tuple[int, ...] = ()
    count: int = 0
    milliseconds: int = 0
    fields: tuple[Field, ...] = ()
    code: int = 0
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One call: its shape and both sides' steps."""

    number: int
    kind: Kind
    client: tuple[Step, ...]
    server: tuple[Step, ...]
    fields: tuple[Field, ...] = ()
    timeout: float = 0.0
    own_words: bool = False
    """The client makes the status, so that its text is nobody else's business."""
    hopeless: bool = False
    """The deadline is over at once: the server may never hear of the call."""

    @property
    def path(self) -> str:
        return f"/script/{self.kind}"

    @property
    def all_fields(self) -> tuple[Field, ...]:
        """With the server's steps."""
        return (*self.fields, (ID, str(self.number)), (PLAN, plan_text(self.server)))

    def judged(self, outcome: Outcome) -> Outcome:
        """``outcome`` without what this call does not settle."""
        kept = outcome if not self.own_words else outcome._without_words()
        if self.kind.one_reply and outcome.code is not Code.OK:
            kept = kept._without_messages()  # such an API gives a message or an error
        return kept


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a client saw of a call."""

    headers: tuple[Field, ...]
    messages: tuple[str, ...]
    code: Code
    details: str
    trailers: tuple[Field, ...]

    def _without_words(self) -> Outcome:
        return Outcome(
            headers=self.headers, messages=self.messages, code=self.code, details="", trailers=()
        )

    def _without_messages(self) -> Outcome:
        return Outcome(
            headers=self.headers,
            messages=(),
            code=self.code,
            details=self.details,
            trailers=self.trailers,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """What a server saw of a call."""

    fields: tuple[Field, ...]
    messages: tuple[str, ...]
    half_closed: bool
    deadline: bool
    end: str
    """``returned`` where all steps were played, ``cancelled`` where the call ended before."""
    peer: str = ""
    """The SPIFFE id in the client's certificate."""


class Conversation:
    """Writes both sides of a call."""

    def __init__(self, kind: Kind = Kind.CHAT) -> None:
        self.kind = kind
        self.client: list[Step] = []
        self.server: list[Step] = []

    def client_sends(self, *sizes: int) -> None:
        self.client.append(Step(do=Do.SEND, sizes=sizes))
        self.server.append(Step(do=Do.RECEIVE, count=len(sizes)))
        if self.kind.one_request:
            self.half_close()

    def client_sends_unheard(self, *sizes: int) -> None:
        """The server never reads them."""
        self.client.append(Step(do=Do.SEND, sizes=sizes))

    def half_close(self) -> None:
        self.client.append(Step(do=Do.HALF_CLOSE))
        self.server.append(Step(do=Do.HALF_CLOSE))

    def server_sends(self, *sizes: int) -> None:
        self.server.append(Step(do=Do.SEND, sizes=sizes))
        self.client.append(Step(do=Do.RECEIVE, count=len(sizes)))

    def server_sends_more_than_read(self, *sizes: int, read: int) -> None:
        """What the client does not read here it reads at the end, if it does not cancel."""
        self.server.append(Step(do=Do.SEND, sizes=sizes))
        self.client.append(Step(do=Do.RECEIVE, count=read))

    def cross(self, from_client: Sequence[int], from_server: Sequence[int]) -> None:
        """Both send and receive at once."""
        self.client.append(Step(do=Do.CROSS, sizes=tuple(from_client), count=len(from_server)))
        self.server.append(Step(do=Do.CROSS, sizes=tuple(from_server), count=len(from_client)))

    def headers(self, *fields: Field) -> None:
        """The server's first headers; the client waits for them, where grpcio can: not in a unary call."""
        self.server.append(Step(do=Do.HEADERS, fields=fields))
        if self.kind is not Kind.UNARY:
            self.client.append(Step(do=Do.HEADERS))

    def slow_client(self, milliseconds: int) -> None:
        self.client.append(Step(do=Do.PAUSE, milliseconds=milliseconds))

    def slow_server(self, milliseconds: int) -> None:
        self.server.append(Step(do=Do.PAUSE, milliseconds=milliseconds))

    def gate(self, *, on_server: bool) -> None:
        """That side, which has to be ours, waits until the test goes on."""
        (self.server if on_server else self.client).append(Step(do=Do.GATE))

    def end(self, code: Code = Code.OK, message: str = "", *fields: Field) -> None:
        self.server.append(Step(do=Do.END, code=int(code), message=message, fields=fields))

    def hang(self) -> None:
        self.server.append(Step(do=Do.HANG))

    def cancel(self) -> None:
        """The server waits for it."""
        self.hang()
        self.client.append(Step(do=Do.CANCEL))

    def call(
        self,
        number: int = 0,
        *,
        fields: Iterable[Field] = (),
        timeout: float = 0.0,
        hopeless: bool = False,
    ) -> Call:
        """The call as it was written; ``hopeless``: its deadline ends it before anything else can."""
        return Call(
            number=number,
            kind=self.kind,
            client=tuple(self.client),
            server=tuple(self.server),
            fields=tuple(fields),
            timeout=timeout,
            own_words=hopeless or any(step.do is Do.CANCEL for step in self.client),
            hopeless=hopeless,
        )


def filling(side: int, number: int, size: int) -> bytes:
    """The content of a side's message ``number``."""
    start = (7 * number + side) % len(_PERIOD)
    return (_PERIOD * ((start + size) // len(_PERIOD) + 1))[start : start + size]


def receipt(message: bytes) -> str:
    """What is kept of a message."""
    return f"{len(message)}:{zlib.crc32(message):08x}"


def of_script(fields: Iterable[tuple[str, str | bytes]]) -> tuple[Field, ...]:
    """The fields that a script named, sorted by name; those of one name stay in order."""
    kept = [
        (name, value.hex() if isinstance(value, bytes) else value)
        for name, value in fields
        if name.startswith("x-") and name not in {PLAN, ID}
    ]
    return tuple(sorted(kept, key=lambda field: field[0]))


def plan_text(steps: Iterable[Step]) -> str:
    """Steps as JSON of printable ASCII, without what is empty."""
    return json.dumps([as_json(step) for step in steps], separators=(",", ":"))


def as_json(value: Step | Call) -> dict[str, Any]:
    return {name: found for name, found in asdict(value).items() if found}


def parse_plan(text: str) -> list[Step]:
    """The reverse of ``plan_text``."""
    return [_step(found) for found in json.loads(text)]


def _step(found: dict[str, Any]) -> Step:
    return Step(
        do=Do(found["do"]),
        sizes=tuple(found.get("sizes", ())),
        count=found.get("count", 0),
        milliseconds=found.get("milliseconds", 0),
        fields=to_fields(found.get("fields", ())),
        code=found.get("code", 0),
        message=found.get("message", ""),
    )


def to_fields(pairs: Iterable[Sequence[str]]) -> tuple[Field, ...]:
    """Fields that came as JSON."""
    return tuple((name, value) for name, value in pairs)
