# SPDX-License-Identifier: Apache-2.0
"""A directory of YAML, watched: what each file last said that made sense.

A file that cannot be read, or holds anything wrong, keeps the objects of its last good version and says why;
one that was never good gives those of its objects that are. A file that is gone takes its objects with it.
A file written in place is read once it has stopped changing; one that was renamed into place is read at once.
Source: spec/upstream.md 8.1, 13.2, 17.1 item 9.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from upstream.config import Fault, Key, Object, Severity

SUFFIXES = (".yaml", ".yml", ".json")
MAX_FILE = 32 << 20

Objects = Mapping[str, tuple[Object[Any], ...]]
"""By file name."""
Parse = Callable[[str, str], tuple[Sequence[Object[Any]], Sequence[Fault]]]
"""Text and file name to objects and what was wrong with them."""


class Stamp(NamedTuple):
    """What must differ for a file to be read again."""

    inode: int
    size: int
    changed: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What is known of one file."""

    read: Stamp | None
    """As it was when it was read; None: it must be read."""
    seen: Stamp
    """As it was at the last look."""
    digest: bytes = b""
    objects: tuple[Object[Any], ...] = ()
    whole: bool = False
    """The objects are those of a version without a fault."""
    faults: tuple[Fault, ...] = ()


class Look(NamedTuple):
    """What a look at the directory found."""

    changed: bool
    """The good objects may differ from before."""
    faults: tuple[Fault, ...]
    """New ones only: what was said is not said again."""
    healed: tuple[str, ...]
    """Files whose faults are gone."""
    unsettled: bool
    """A file is being written: look again soon."""


class Directory:
    """The good objects of all files below a directory. Blocking: call ``look`` in a worker thread."""

    def __init__(self, path: str, parse: Parse) -> None:
        self._path = path
        self._parse = parse
        self._entries: dict[str, Entry] = {}
        self._missing = False
        self._shadowed: tuple[Fault, ...] = ()

    def objects(self) -> Objects:
        """The good objects by file; files without any are left out."""
        return {name: entry.objects for name, entry in self._entries.items() if entry.objects}

    def faults(self) -> list[Fault]:
        """Everything that is wrong now."""
        mine = [fault for name in sorted(self._entries) for fault in self._entries[name].faults]
        return [*mine, *self._shadowed]

    def look(self) -> Look:
        """Read what has changed."""
        stamps = self._stamps()
        if stamps is None:
            said, self._missing = self._missing, True
            gone = _unreadable(self._path, "the directory cannot be read; what it held stays")
            return Look(False, () if said else (gone,), (), False)
        self._missing = False
        before = self._entries
        self._entries = {name: self._entry(name, stamp) for name, stamp in stamps.items()}
        return self._compare(before)

    def _compare(self, before: dict[str, Entry]) -> Look:
        changed = any(name not in self._entries and entry.objects for name, entry in before.items())
        faults: list[Fault] = []
        healed = []
        for name, entry in self._entries.items():
            old = before.get(name)
            if old is entry:
                continue
            changed = changed or entry.objects != (old.objects if old else ())
            if entry.faults and (old is None or entry.faults != old.faults):
                faults += entry.faults
            if old is not None and old.faults and not entry.faults:
                healed.append(name)
        said, self._shadowed = self._shadowed, tuple(_shadowed(self.objects()))
        faults += [fault for fault in self._shadowed if fault not in said]
        unsettled = any(entry.read != entry.seen for entry in self._entries.values())
        return Look(changed, tuple(faults), tuple(healed), unsettled)

    def _entry(self, name: str, stamp: Stamp) -> Entry:
        old = self._entries.get(name)
        if old is not None and old.read == stamp:
            return old
        if old is not None and not _settled(old, stamp):
            return replace(old, read=None, seen=stamp)
        return self._reread(name, stamp, old or Entry(read=None, seen=stamp))

    def _reread(self, name: str, stamp: Stamp, old: Entry) -> Entry:
        try:
            content = _read(name)
            text = content.decode("utf-8")
        except (OSError, ValueError) as error:
            faults = (_unreadable(name, str(error)),)
            return replace(old, read=stamp, seen=stamp, faults=faults, digest=b"")
        digest = hashlib.sha256(content).digest()
        if digest == old.digest:
            return replace(old, read=stamp, seen=stamp)
        objects, said = self._parse(text, name)
        wrong = any(fault.fatal for fault in said)
        if wrong and old.whole:
            return replace(old, read=stamp, seen=stamp, digest=digest, faults=tuple(said))
        return Entry(
            read=stamp,
            seen=stamp,
            digest=digest,
            objects=tuple(objects),
            whole=not wrong,
            faults=tuple(said),
        )

    def _stamps(self) -> dict[str, Stamp] | None:
        """None when the directory itself cannot be listed: that is no reason to drop everything."""
        try:
            os.listdir(self._path)
        except OSError:
            return None
        return dict(_walk(self._path))


def _unreadable(source: str, why: str) -> Fault:
    return Fault(source=source, line=0, object="", field="", reason=why)


def _settled(old: Entry, stamp: Stamp) -> bool:
    """Renamed into place, or unchanged since the last look."""
    return stamp.inode != old.seen.inode or stamp == old.seen


def _shadowed(objects: Objects) -> Iterator[Fault]:
    """Objects that have no effect, as a file that sorts before theirs has the same ones."""
    first: dict[Key, tuple[str, int]] = {}
    for name in sorted(objects):
        for one in objects[name]:
            file, line = first.setdefault(one.key, (name, one.line))
            if file != name:
                yield Fault(
                    source=name,
                    line=one.line,
                    object=str(one.key),
                    field="metadata.name",
                    reason=f"has no effect: {file}:{line} defines the same object",
                    hint="remove one of the two",
                    severity=Severity.WARNING,
                )


def _walk(path: str) -> Iterator[tuple[str, Stamp]]:
    # Links are followed, as Kubernetes' ConfigMap volumes are made of them; hidden names are skipped.
    for root, folders, files in os.walk(path, followlinks=False):
        folders[:] = sorted(folder for folder in folders if not folder.startswith("."))
        for file in sorted(files):
            if file.startswith(".") or not file.endswith(SUFFIXES):
                continue
            name = os.path.join(root, file)
            try:
                about = os.stat(name)
            except OSError:
                continue  # gone between listing and looking: the next look sees the same
            yield name, Stamp(about.st_ino, about.st_size, about.st_mtime_ns)


def _read(name: str) -> bytes:
    with Path(name).open("rb") as file:
        content = file.read(MAX_FILE + 1)
    if len(content) > MAX_FILE:
        raise ValueError(f"is larger than {MAX_FILE >> 20} MiB")
    return content
