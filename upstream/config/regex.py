# SPDX-License-Identifier: Apache-2.0
"""Whether Envoy can compile a regular expression: RE2's grammar, read but not run. Pure.

One bad expression makes Envoy refuse the whole listener or route configuration that it is in, for every workload.
Python's own grammar is another: it has look-around and references, which RE2 lacks, and lacks what RE2 has.
Source: github.com/google/re2/wiki/Syntax; Envoy's source/common/common/regex.cc.
"""

from __future__ import annotations

import re

MAX_REPEAT = 1000
MAX_DEPTH = 200
_COUNT = re.compile(r"\{(\d+)(,(\d*))?\}")
_FLAGS = re.compile(r"\?([imsU]*(-[imsU]+)?)([:)])")
_NAMED = re.compile(r"\?P?<([A-Za-z_][A-Za-z0-9_]*)>")
_CLASS_NAME = re.compile(
    r"\[:\^?(alnum|alpha|ascii|blank|cntrl|digit|graph|lower|print|punct|space|upper|word|xdigit):\]"
)
_PROPERTY = re.compile(r"\^?[A-Z][a-z]?\}|\^?[A-Z][a-z_]+\}")
_SIMPLE = frozenset("dDsSwWabBAzCfnrtv")
"""Letters that mean something after a backslash."""
_NOT_IN_CLASS = frozenset("bBAzC")


class NotRe2(ValueError):
    """Why the expression cannot be used."""


def fault_of(pattern: str) -> str:
    """What is wrong with ``pattern``; empty when RE2 takes it."""
    try:
        _Reader(pattern).read()
    except NotRe2 as fault:
        return str(fault)
    return ""


class _Reader:
    """A recursive descent over the grammar; it keeps nothing of what it reads but where it is."""

    def __init__(self, pattern: str) -> None:
        self._text = pattern
        self._at = 0
        self._names: set[str] = set()

    def read(self) -> None:
        self._alternatives(0)
        if self._at < len(self._text):
            raise NotRe2("unexpected ')'")

    def _next(self) -> str:
        return self._text[self._at : self._at + 1]

    def _skip(self, wanted: str) -> bool:
        found = self._text.startswith(wanted, self._at)
        self._at += len(wanted) if found else 0
        return found

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found

    def _alternatives(self, depth: int) -> None:
        if depth > MAX_DEPTH:
            raise NotRe2("is nested too deeply")
        repeatable = False
        while (char := self._next()) and char != ")":
            if char in "*+?" or _COUNT.match(self._text, self._at):
                self._repetition(repeatable=repeatable)
                repeatable = False
                continue
            repeatable = self._atom(depth, before=repeatable)

    def _repetition(self, *, repeatable: bool) -> None:
        start = self._at
        count = self._match(_COUNT)
        if count is None:
            self._at += 1
        elif max(int(number) for number in count.group(1, 3) if number) > MAX_REPEAT:
            raise NotRe2(f"repeats more than {MAX_REPEAT} times: {count.group()}")
        elif count.group(3) and int(count.group(1)) > int(count.group(3)):
            raise NotRe2(f"repeats from more to less: {count.group()}")
        if not repeatable:
            raise NotRe2(f"nothing to repeat before {self._text[start : self._at]!r}")
        self._skip("?")

    def _atom(self, depth: int, *, before: bool) -> bool:
        """Whether what stands there now can be repeated; flags alone change nothing in that."""
        char = self._next()
        self._at += 1
        if char == "(":
            return self._group(depth, before=before)
        if char == "[":
            self._class()
        elif char == "\\" and self._skip("Q"):
            return self._literal()
        elif char == "\\":
            self._escape(inside=False)
        return char != "|"

    def _literal(self) -> bool:
        """What is to be taken as it stands."""
        start, end = self._at, self._text.find("\\E", self._at)
        self._at = len(self._text) if end < 0 else end + 2
        return end != start

    def _group(self, depth: int, *, before: bool) -> bool:
        flags = self._match(_FLAGS)
        if flags and flags.group(3) == ")":
            return before
        if not flags and self._next() == "?":
            named = self._match(_NAMED)
            if named is None:
                shown = self._text[self._at - 1 : self._at + 3]
                raise NotRe2(f"{shown!r} is not known to RE2 (no look-around, no references)")
            if named.group(1) in self._names:
                raise NotRe2(f"two groups are called {named.group(1)!r}")
            self._names.add(named.group(1))
        self._alternatives(depth + 1)
        if not self._skip(")"):
            raise NotRe2("a '(' is not closed")
        return True

    def _class(self) -> None:
        self._skip("^")
        first = True
        while first or self._next() != "]":
            first = False
            low = self._member()
            if self._next() == "-" and self._text[self._at + 1 : self._at + 2] not in ("]", ""):
                self._at += 1
                high = self._member()
                if low is None or high is None or low > high:
                    raise NotRe2("a range in [] is not from less to more")
        self._at += 1

    def _member(self) -> str | None:
        """One member of a class; None for a class in it."""
        if not self._next():
            raise NotRe2("a '[' is not closed")
        if self._text.startswith("[:", self._at):
            if self._match(_CLASS_NAME):
                return None
            if ":]" in self._text[self._at + 2 :]:
                raise NotRe2("[: :] holds no class that RE2 knows")
        char = self._next()
        self._at += 1
        return self._escape(inside=True) if char == "\\" else char

    def _escape(self, *, inside: bool) -> str | None:
        """The character that it stands for; None for a class."""
        char = self._next()
        self._at += 1
        if not char:
            raise NotRe2("ends in a backslash")
        if char in "pP":
            self._property()
            return None
        if char in "xX01234567":
            return self._number(char)
        if char.isalnum() and (char not in _SIMPLE or (inside and char in _NOT_IN_CLASS)):
            raise NotRe2(f"'\\{char}' is not known to RE2")
        return None if char in "dDsSwW" else char

    def _property(self) -> None:
        if self._skip("{"):
            if not self._match(_PROPERTY):
                raise NotRe2("\\p{} holds no property that RE2 knows")
        elif self._next() in tuple("CLMNPSZ"):
            self._at += 1
        else:
            raise NotRe2("\\p wants a property")

    def _number(self, kind: str) -> str:
        form = (
            r"x([0-9A-Fa-f]{2}|\{[0-9A-Fa-f]{1,6}\})"
            if kind == "x"
            else r"0[0-7]{0,2}|[1-7][0-7]{1,2}"
        )
        found = re.compile(form).match(self._text, self._at - 1)
        if found is None:
            raise NotRe2(f"'\\{kind}' is not known to RE2 (no references)")
        self._at = found.end()
        digits = found.group().lstrip("x").strip("{}")
        code = int(digits, 16 if kind == "x" else 8)
        if code > 0x10FFFF:
            raise NotRe2("names no character")
        return chr(code)
