# SPDX-License-Identifier: Apache-2.0
"""The house's own rules, where no linter says them: licence lines, openings, a test beside each module."""

from __future__ import annotations

import ast
import subprocess
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
ROOMS = ("mesh", "wire", "agent", "bootstrap", "iptables", "sdsserver", "upstream", "ctl")


def sources() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "*.py"],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=True,
    )
    paths = [REPO / line for line in listed.stdout.splitlines()]
    return [path for path in paths if path.exists() and not path.stem.endswith("_pb2")]


def modules() -> list[Path]:
    return [path for path in sources() if path.relative_to(REPO).parts[0] in ROOMS]


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(REPO)))
def test_spdx_line(path: Path) -> None:
    lines = path.read_text().splitlines()
    head = lines[1] if lines and lines[0].startswith("#!") else (lines[0] if lines else "")
    assert head == "# SPDX-License-Identifier: Apache-2.0"


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(REPO)))
def test_module_opening(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), (
        "say what room this is and what it may not touch"
    )


WITHOUT_TWIN = {"__init__.py": "re-exports", "__main__.py": "an entry that calls its neighbour"}


def test_each_module_has_its_test() -> None:
    missing = []
    for path in modules():
        if path.name in WITHOUT_TWIN:
            continue
        place = REPO / "tests" / path.relative_to(REPO).parent
        if not (place / f"test_{path.stem}.py").exists() and not list(
            place.glob(f"test_{path.stem}_*.py")
        ):
            missing.append(str(path.relative_to(REPO)))
    assert sorted(set(missing) - TABLES) == []


TABLES = {"mesh/ports.py", "mesh/paths.py", "agent/xds/options.py"}
"""Constants; checked where they are used."""
