# SPDX-License-Identifier: Apache-2.0
"""Directory notifications of the kernel, through ctypes; the standard library has none.

Blocking and waiting are the caller's: the descriptor is non-blocking and ``read`` returns what is there.
Source: inotify(7).
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterator
from enum import IntFlag
from typing import NamedTuple


class Event(NamedTuple):
    """One change: in which watch, of what kind, to which entry (empty: the watched thing itself)."""

    watch: int
    mask: int
    name: str


class Mask(IntFlag):
    """Kinds of change, numbered by the kernel."""

    MODIFY = 0x0002
    ATTRIB = 0x0004
    CLOSE_WRITE = 0x0008
    MOVED_FROM = 0x0040
    MOVED_TO = 0x0080
    CREATE = 0x0100
    DELETE = 0x0200
    DELETE_SELF = 0x0400
    MOVE_SELF = 0x0800
    OVERFLOW = 0x4000
    IGNORED = 0x8000


CONTENT = (
    Mask.MODIFY
    | Mask.ATTRIB
    | Mask.CLOSE_WRITE
    | Mask.MOVED_FROM
    | Mask.MOVED_TO
    | Mask.CREATE
    | Mask.DELETE
    | Mask.DELETE_SELF
    | Mask.MOVE_SELF
)
"""Whatever may change what a path in the directory leads to."""

_HEADER = struct.Struct("iIII")
_BUFFER = 64 * 1024


class Inotify:
    """One descriptor with its watches. Raises OSError where the kernel refuses (limits, missing paths)."""

    def __init__(self) -> None:
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._fd = self._checked(self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC))

    def fileno(self) -> int:
        return self._fd

    def add(self, path: str, mask: int = CONTENT) -> int:
        """Watch ``path``; the same path again gives the same number."""
        return self._checked(
            self._libc.inotify_add_watch(self._fd, os.fsencode(path), ctypes.c_uint32(mask)), path
        )

    def remove(self, watch: int) -> None:
        """Stop watching; a watch that the kernel already dropped is no error."""
        self._libc.inotify_rm_watch(self._fd, watch)

    def read(self) -> list[Event]:
        """What happened since the last look; empty when nothing did."""
        try:
            data = os.read(self._fd, _BUFFER)
        except BlockingIOError:
            return []
        return list(_events(data))

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _checked(self, result: int, path: str | None = None) -> int:
        if result < 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), path)
        return result


def _events(data: bytes) -> Iterator[Event]:
    at = 0
    while at < len(data):
        watch, mask, _, length = _HEADER.unpack_from(data, at)
        at += _HEADER.size
        yield Event(watch, mask, os.fsdecode(data[at : at + length].rstrip(b"\0")))
        at += length
