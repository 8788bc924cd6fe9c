# SPDX-License-Identifier: Apache-2.0
"""Random scripts, each from its seed. Pure.

What a script leaves to chance is when things happen, never how they end: a side only waits for what the other is sure
to send; a client cancels when the last word was the server's and the server waits for the end; a deadline is far away,
or over before a server that says nothing could say something; a server may end a call at any point, whatever the client
still sends.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from tests.wire.witness.ends import Transport, Windows
from tests.wire.witness.script import Call, Conversation, Field, Kind
from wire.h2io import Code

PREFIX = 5
EDGES = (16_384, 65_535, 65_536, 131_072)
"""Frames and windows; messages end just before, at, and after them."""
FAR = 600.0
MOST_CALLS = 5
TEXTS = ("", "plain", "100 %", "%41%zz", "nö", "🚢 sails", "two\nlines\r\n", "\ttab", "x" * 300)
CODES = tuple(code for code in Code if code is not Code.OK)


@dataclass(frozen=True, slots=True, kw_only=True)
class RandomScript:
    """Calls that are made at once on one connection, and what carries them."""

    seed: int
    transport: Transport
    client_windows: Windows
    server_windows: Windows
    calls: tuple[Call, ...]


def random_script(seed: int) -> RandomScript:
    rng = Random(seed)
    return RandomScript(
        seed=seed,
        transport=rng.choice([Transport.UNIX, Transport.UNIX, Transport.TCP, Transport.TLS13]),
        client_windows=_windows(rng),
        server_windows=_windows(rng),
        calls=tuple(_Writer(rng).call(number) for number in range(rng.randint(1, MOST_CALLS))),
    )


def _windows(rng: Random) -> Windows:
    return Windows(
        stream=rng.choice([0, 0, 1_000, 16_384, 65_535, 200_000]),
        connection=rng.choice([0, 65_535, 100_000]),
        frame=rng.choice([0, 16_384, 20_000]),
    )


class _Writer:
    """Writes one call."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._talk = Conversation(rng.choice([*Kind, Kind.CHAT, Kind.CHAT]))
        self._told_headers = False
        self._server_has_said = False
        self._server_spoke_last = False
        """All that the client did has arrived."""
        self._client_done = False

    def call(self, number: int) -> Call:
        fields = self._fields()
        if self._rng.random() < 0.08:
            self._hopeless()
            timeout = self._rng.uniform(0.02, 0.08)
            return self._talk.call(number, fields=fields, timeout=timeout, hopeless=True)
        if self._talk.kind.one_request:
            self._client_sends(1)
        else:
            self._moves(client_too=True)
        if self._talk.kind.one_reply:
            self._prepare_reply()
        else:
            self._moves(client_too=not self._client_done)
        self._end()
        return self._talk.call(number, fields=fields, timeout=self._rng.choice([0.0, 0.0, FAR]))

    def _hopeless(self) -> None:
        """The server says nothing."""
        if self._talk.kind.one_request or self._rng.random() < 0.5:
            self._client_sends(1)
        self._talk.hang()

    def _moves(self, *, client_too: bool) -> None:
        for _ in range(self._rng.randint(0, 4)):
            moves = [self._slow_client, self._slow_server]
            if not self._told_headers and not self._server_has_said:
                moves.append(self._headers)
            if not self._talk.kind.one_reply:
                moves += [self._server_sends] * 3
            if client_too and not self._client_done:
                moves += [self._client_sends_some] * 3
                if not self._talk.kind.one_reply:
                    moves += [self._cross] * 2
            self._rng.choice(moves)()
        if client_too and not self._client_done and self._rng.random() < 0.5:
            self._half_close()

    def _prepare_reply(self) -> None:
        if not self._client_done and self._rng.random() < 0.8:
            self._half_close()
        if self._rng.random() < 0.3 and not self._told_headers:
            self._headers()

    # ---- moves ----

    def _client_sends_some(self) -> None:
        self._client_sends(self._rng.randint(1, 4))

    def _client_sends(self, count: int) -> None:
        self._talk.client_sends(*self._sizes(count))
        self._client_done = self._talk.kind.one_request
        self._server_spoke_last = False

    def _server_sends(self) -> None:
        self._talk.server_sends(*self._sizes(self._rng.randint(1, 4)))
        self._server_has_said = self._server_spoke_last = True

    def _cross(self) -> None:
        sizes = self._sizes(self._rng.randint(1, 4)), self._sizes(self._rng.randint(1, 4))
        self._talk.cross(*sizes)
        self._server_has_said, self._server_spoke_last = True, False

    def _headers(self) -> None:
        self._talk.headers(*self._fields())
        self._told_headers = self._server_spoke_last = True

    def _half_close(self) -> None:
        self._talk.half_close()
        self._client_done = True
        self._server_spoke_last = False

    def _slow_client(self) -> None:
        self._talk.slow_client(self._rng.randint(1, 10))

    def _slow_server(self) -> None:
        self._talk.slow_server(self._rng.randint(1, 10))

    # ---- ends ----

    def _end(self) -> None:
        if self._told_headers and not (self._server_has_said or self._talk.kind.one_reply):
            self._server_sends()  # grpcio's client may lose headers that come in one packet with the end
        ends = [self._ends_well] * 4 + [self._fails] * 3
        if self._may_cancel():
            ends += [self._cancelled] * 3
        self._rng.choice(ends)()

    def _ends_well(self) -> None:
        if self._talk.kind.one_reply:
            self._talk.server_sends(*self._sizes(1))
        self._maybe_unheard()
        self._talk.end(Code.OK, "", *self._fields())

    def _fails(self) -> None:
        self._maybe_unheard()
        self._talk.end(self._rng.choice(CODES), self._rng.choice(TEXTS), *self._fields())

    def _maybe_unheard(self) -> None:
        if not self._client_done and self._rng.random() < 0.5:
            self._talk.client_sends_unheard(*self._sizes(self._rng.randint(1, 3)))

    def _may_cancel(self) -> bool:
        """The server can have, or can be given, the last word."""
        if self._talk.kind is Kind.UNARY:
            return False
        return self._server_spoke_last or not (self._talk.kind.one_reply and self._told_headers)

    def _cancelled(self) -> None:
        if not self._server_spoke_last:
            if self._talk.kind.one_reply:
                self._headers()
            else:
                self._server_sends()
        if not self._talk.kind.one_reply and self._rng.random() < 0.4:
            sizes = self._sizes(self._rng.randint(1, 4))
            self._talk.server_sends_more_than_read(*sizes, read=self._rng.randrange(len(sizes)))
        self._talk.cancel()

    # ---- what is said ----

    def _sizes(self, count: int) -> tuple[int, ...]:
        return tuple(self._size() for _ in range(count))

    def _size(self) -> int:
        match self._rng.randrange(4):
            case 0:
                return self._rng.choice((0, 0, 1, 5, 100))
            case 1:
                return self._rng.choice(EDGES) - PREFIX + self._rng.randint(-2, 2)
            case 2:
                return self._rng.randrange(2_000)
            case _:
                return self._rng.randrange(150_000)

    def _fields(self) -> tuple[Field, ...]:
        return tuple(self._field() for _ in range(self._rng.choice((0, 0, 1, 2, 4))))

    def _field(self) -> Field:
        name = f"x-{self._rng.choice('abc')}"
        if self._rng.random() < 0.4:
            return f"{name}-bin", self._rng.randbytes(self._rng.randrange(40)).hex()
        return name, self._rng.choice(("v", "two words", '"q", r', "~!@#$%^&*()", "z" * 200))
