# SPDX-License-Identifier: Apache-2.0
"""The stored identity (opt-in, PILOT_IDENTITY_DIR): a restart without a CA serves what was issued before.

We make and trust only our own directory in the parent: ours, 0700, files 0600, written whole or not at
all. What is stored counts only while unexpired and for the same SPIFFE id; key and chain are one file,
so they can never be of two issues. Source: DESIGN 4.3.
"""

from __future__ import annotations

import json
import os
import stat

import mesh.log
from mesh.errors import BadSetting
from mesh.identity import Identity
from sdsserver import pem
from sdsserver.output import replace_if_changed
from sdsserver.secret import KeyPair
from sdsserver.x509 import facts

OWN = "pilothouse-identity"
SETTING = "PILOT_IDENTITY_DIR"
OTHER = "of another identity, removed"
_FILE = "identity.json"
_MEMORY = frozenset({"tmpfs", "ramfs"})

log = mesh.log.get("sds")


class IdentityStore:
    """One workload's identity below ``parent``. Faults of the disk are logged, never raised."""

    def __init__(self, parent: str, identity: Identity) -> None:
        self._directory = f"{parent}/{OWN}"
        self._identity = identity

    def load(self, now: float) -> KeyPair | None:
        """What was stored, if it may be used at ``now``."""
        path = f"{self._directory}/{_FILE}"
        try:
            _check_own(self._directory)
            pair = _parse(_read_private(path))
            why = _refusal(pair, self._identity, now)
            if why is OTHER:
                os.unlink(path)  # this workload is another one now, and will not be that one again
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = error.strerror or "unreadable" if isinstance(error, OSError) else str(error)
        if why:
            log.warning("stored identity not used", path=path, why=why)
            return None
        log.info("stored identity restored", path=path, expires=int(pair.dies))
        return pair

    def save(self, pair: KeyPair) -> None:
        """Replace what is stored."""
        path = f"{self._directory}/{_FILE}"
        document = {
            "chain": pair.chain.decode(),
            "key": pair.key.decode(),
            "root": pair.root.decode(),
            "born": pair.born,
        }
        try:
            os.makedirs(self._directory, mode=0o700, exist_ok=True)
            _check_own(self._directory)
            replace_if_changed(path, json.dumps(document).encode(), 0o600)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.warning("identity not stored", path=path, why=why)


def remove_stored(parent: str) -> str:
    """Remove what is stored below ``parent``: its path, or an empty string where there was nothing.

    Raises BadSetting where what lies there is not ours alone; then nothing is touched.
    """
    directory = f"{parent}/{OWN}"
    try:
        _check_own(directory)
        with os.scandir(directory) as entries:
            for entry in entries:  # one file, and what a killed writer left
                os.unlink(entry.path)
        os.rmdir(directory)
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        why = error.strerror or "" if isinstance(error, OSError) else str(error)
        raise BadSetting(SETTING, directory, f"not removed: {why.lower()}") from None
    return directory


def open_store(parent: str, identity: Identity, *, trusted: bool) -> IdentityStore:
    """The store below ``parent``. Raises BadSetting when keys should not lie there."""
    try:
        found = os.stat(parent)
    except OSError as error:
        raise BadSetting(SETTING, parent, (error.strerror or "unreadable").lower()) from None
    if not stat.S_ISDIR(found.st_mode):
        raise BadSetting(SETTING, parent, "not a directory")
    if not trusted:
        _check_parent(parent, found)
    return IdentityStore(parent, identity)


def _check_parent(parent: str, found: os.stat_result) -> None:
    hint = (
        "mount a memory-backed volume of this workload alone, or set PILOT_IDENTITY_DIR_TRUST=true"
    )
    if file_system(found.st_dev) not in _MEMORY:
        raise BadSetting(SETTING, parent, "not memory-backed: keys would reach a disk", hint=hint)
    others = found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if others and not found.st_mode & stat.S_ISVTX:
        raise BadSetting(SETTING, parent, "others may replace our directory in it", hint=hint)
    if found.st_uid not in {0, os.geteuid()}:
        raise BadSetting(SETTING, parent, "belongs to another user", hint=hint)


def file_system(device: int, mounts: str = "/proc/self/mountinfo") -> str:
    """The kind of file system behind a device number; empty when unknown (overlays have none of their own)."""
    wanted = f"{os.major(device)}:{os.minor(device)}"
    try:
        with open(mounts, encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.split()[2] == wanted:
                    return line.partition(" - ")[2].split()[0]
    except OSError:
        return ""
    return ""


def _check_own(directory: str) -> None:
    """Raises ValueError when the directory is not ours alone, OSError when it is not there."""
    found = os.lstat(directory)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
        raise ValueError("directory is not ours alone (0700, own uid)")


def _read_private(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if found.st_uid != os.geteuid() or found.st_mode & 0o077:
            raise ValueError("file is not ours alone (0600, own uid)")
        return file.read()


def _parse(content: bytes) -> KeyPair:
    try:
        fields = json.loads(content)
        chain, key, root = (str(fields[name]).encode() for name in ("chain", "key", "root"))
        born = float(fields["born"])
    except (ValueError, KeyError, TypeError):
        raise ValueError("not a stored identity") from None
    pem.check_pair(chain, key)
    leaf = facts(chain)
    return KeyPair(chain, key, root, born, leaf.not_after, leaf.serial, leaf.not_before)


def _refusal(pair: KeyPair, identity: Identity, now: float) -> str:
    """Why the pair may not be used; empty when it may."""
    leaf = facts(pair.chain)
    if not leaf.valid_at(now):
        return "expired or not valid yet"
    if str(identity) not in leaf.uris:
        return OTHER
    return "" if pair.root else "without roots"
