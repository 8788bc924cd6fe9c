# SPDX-License-Identifier: Apache-2.0
"""Reads the machine: addresses, resolv.conf, the proxy's user; enters another network namespace. Decides nothing."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Mapping
from pathlib import Path

from iptables import netlink
from iptables.settings import HostFacts
from mesh.errors import CaptureFailed

RESOLV_CONF = Path("/etc/resolv.conf")
DEFAULT_USER = "istio-proxy"

CLONE_NEWNET, CLONE_NEWNS = 0x40000000, 0x00020000
_MS_REC, _MS_PRIVATE, _MS_SLAVE, _MS_BIND = 0x4000, 0x40000, 0x80000, 0x1000


def facts(env: Mapping[str, str], *, nameservers: bool) -> HostFacts:
    """Everything that settings may need; resolv.conf only when DNS is captured."""
    servers, fault = read_nameservers(RESOLV_CONF) if nameservers else ((), "")
    return HostFacts(
        addresses=tuple(str(ipaddress.ip_address(raw)) for raw in netlink.addresses() if raw),
        nameservers=servers,
        nameservers_fault=fault,
        envoy_uid=user_id(env.get("ENVOY_USER") or DEFAULT_USER),
    )


def read_nameservers(path: Path) -> tuple[tuple[str, ...], str]:
    """The servers as they are written, and why they could not be read."""
    try:
        text = path.read_text(errors="replace")
    except OSError as error:
        return (), f"cannot be read: {error.strerror}"
    lines = (line.split() for line in text.splitlines())
    return tuple(words[1] for words in lines if len(words) > 1 and words[0] == "nameserver"), ""


def user_id(name: str) -> str | None:
    """The user's id, if there is such a user."""
    import pwd

    try:
        return str(pwd.getpwnam(name).pw_uid)
    except KeyError:
        return None


def enter_network(path: str) -> None:
    """Go on in the network namespace behind this file. CaptureFailed says why not."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise CaptureFailed(f"network namespace {path}: {error.strerror}") from error
    try:
        _call("setns", handle, CLONE_NEWNET)
    except OSError as error:
        raise CaptureFailed(
            f"network namespace {path}: {error.strerror}",
            hint="entering a network namespace takes SYS_ADMIN, and its file",
        ) from error
    finally:
        os.close(handle)


def isolate_mounts(lock: str | None) -> None:
    """A mount namespace for tools run from the host's files; OSError where that is not allowed.

    Name services are shut off (they might ask a daemon of the host), and the lock of the legacy
    variant becomes the namespace's own, so that pods do not wait for each other.
    """
    _call("unshare", CLONE_NEWNS)
    try:
        _mount(None, "/", _MS_REC | _MS_PRIVATE)
    except OSError:
        _mount(None, "/", _MS_REC | _MS_SLAVE)
    if Path("/etc/nsswitch.conf").exists():
        _mount("/dev/null", "/etc/nsswitch.conf", _MS_BIND)
    if lock and Path("/run/xtables.lock").exists():
        _mount(lock, "/run/xtables.lock", _MS_BIND)


def _mount(source: str | None, target: str, flags: int) -> None:
    origin = source.encode() if source else None
    _call("mount", origin, target.encode(), None, flags, None)


def _call(name: str, *arguments: object) -> None:
    import ctypes  # only for namespaces

    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
