# SPDX-License-Identifier: Apache-2.0
"""axe-core, the accessibility checker: one pinned file of its npm package, fetched once into a cache folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import pytest

from tests.support.browser import Page

VERSION = "4.14.1"
SHA256 = "29348999450cdf2849a8e70b7912fc2da85a849da39c0d0d5394f51d4a9ed95c"
RULES = ("wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice")


def source() -> str:
    """The script. Skips the test, visibly, where npm cannot bring it."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    kept = Path(home) / "pilothouse" / f"axe-{VERSION}.js"
    if not kept.exists():
        _fetch(kept)
    text = kept.read_bytes()
    assert hashlib.sha256(text).hexdigest() == SHA256, f"{kept} is not axe-core {VERSION}"
    return text.decode()


def _fetch(to: Path) -> None:
    npm = shutil.which("npm")
    if npm is None:
        pytest.skip("group axe: wants npm, which brings axe-core")
    with tempfile.TemporaryDirectory(prefix="axe-") as folder:
        argv = [npm, "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts"]
        done = subprocess.run(
            [*argv, "--prefix", folder, f"axe-core@{VERSION}"],
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        if done.returncode != 0:
            pytest.skip(f"group axe: wants the npm package axe-core: {done.stderr.strip()[-300:]}")
        to.parent.mkdir(parents=True, exist_ok=True)
        beside = to.with_suffix(f".{os.getpid()}")  # several workers may fetch at once
        shutil.copy(Path(folder) / "node_modules/axe-core/axe.min.js", beside)
        beside.replace(to)


async def violations(page: Page) -> list[str]:
    """What it finds: the rule, and where."""
    await page.js(f"{source()}; undefined")
    found: list[dict[str, Any]] = await page.js(
        f"axe.run(document, {{runOnly: {list(RULES)!r}}}).then(r => r.violations)"
    )
    return [
        f"{each['id']}: {node['html'][:160]} ({node['failureSummary'][:200]})"
        for each in found
        for node in each["nodes"]
    ]
