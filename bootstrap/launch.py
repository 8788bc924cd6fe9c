# SPDX-License-Identifier: Apache-2.0
"""Starts the child that writes the bootstrap and waits for it. Imported by the agent; decides nothing.

``-P`` keeps the working directory, which belongs to the pod, out of the child's module path.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

import mesh.log
from bootstrap.inputs import BootstrapInputs
from mesh.errors import BootstrapFailed

log = mesh.log.get("bootstrap")


async def write_bootstrap(inputs: BootstrapInputs, *, deadline: float) -> str:
    """The path of the written bootstrap, empty where none was wanted.

    ``deadline`` is a time of the running loop's clock. Raises BootstrapFailed with the child's own
    reason, or when the deadline passes. No child outlives this call, however it ends.
    """
    try:
        async with asyncio.timeout_at(deadline):
            code, out, err = await _run(inputs.to_json().encode())
    except TimeoutError:
        raise BootstrapFailed("the author did not finish in time") from None
    except OSError as error:
        raise BootstrapFailed(f"cannot start {sys.executable}: {error.strerror}") from error
    report = _report(out)
    if code != 0 or "warnings" not in report:
        fault = report.get("error", {})
        why = fault.get("why") or f"the author exited with {code}: {_last_line(err)}"
        raise BootstrapFailed(why, field=fault.get("field", ""))
    for warning in report["warnings"]:
        log.warning("bootstrap setting ignored", reason=warning)
    return inputs.output


async def _run(text: bytes) -> tuple[int, bytes, bytes]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "bootstrap",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate(text)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()  # no deadline: a killed child is gone at once
    return process.returncode or 0, out, err


def _report(out: bytes) -> dict[str, Any]:
    try:
        report = json.loads(out)
    except ValueError:
        return {}
    return report if isinstance(report, dict) else {}


def _last_line(err: bytes) -> str:
    lines = err.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no message"
