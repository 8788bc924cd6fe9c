# SPDX-License-Identifier: Apache-2.0
"""The whole demo as a user runs it; and that it says so, and leaves nothing, where it cannot go well."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from functools import partial
from pathlib import Path

import psutil
import pytest

from ctl.demo.cluster import memory_directory
from ctl.demo.processes import script
from tests.support.netns import needs_netns

STEPS = "abcdef"


def demo(directory: Path, *flags: str) -> subprocess.Popen[str]:
    argv = [script("pilotctl"), "demo", "--dir", str(directory), *flags]
    env = {**os.environ, "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        argv,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=env,
        # a shell without job control starts what runs in its background deaf to Ctrl-C
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  one call, no lock
    )


def left_over(directory: Path) -> list[int]:
    """Processes whose working directory or arguments are the demo's."""
    found = []
    for process in psutil.process_iter(["pid", "cwd", "cmdline", "status"]):
        facts = process.info
        if facts["status"] == psutil.STATUS_ZOMBIE or facts["pid"] == os.getpid():
            continue
        words = " ".join([facts["cwd"] or "", *(facts["cmdline"] or [])])
        if str(directory) in words and "pytest" not in words.split(" ", 1)[-1].split(" ")[0]:
            found.append(facts["pid"])
    return found


@pytest.mark.envoy
def test_every_promise_holds(short_tmp: Path) -> None:
    if memory_directory() is None:
        pytest.skip("neither $XDG_RUNTIME_DIR nor /dev/shm is memory")
    directory = short_tmp / "demo"
    with demo(directory) as running:
        told, _ = running.communicate(timeout=300)
    print(told)
    assert running.returncode == 0, told
    assert "BROKEN" not in told
    for letter in STEPS:
        assert re.search(rf"^  {letter}  .* held ", told, re.MULTILINE), letter
    assert left_over(directory) == []


@pytest.mark.long
@pytest.mark.envoy
@needs_netns
@pytest.mark.parametrize("backend", ["iptables", "nft"])
def test_every_promise_holds_with_real_capture(short_tmp: Path, backend: str) -> None:
    if memory_directory() is None:
        pytest.skip("neither $XDG_RUNTIME_DIR nor /dev/shm is memory")
    directory = short_tmp / "demo"
    with demo(directory, "--capture", backend) as running:
        told, _ = running.communicate(timeout=300)
    print(told)
    assert running.returncode == 0, told
    assert "BROKEN" not in told
    for letter in f"{STEPS}g":
        assert re.search(rf"^  {letter}  .* held ", told, re.MULTILINE), letter
    assert left_over(directory) == []


@pytest.mark.envoy
def test_interrupted_it_stops_everything(short_tmp: Path) -> None:
    directory = short_tmp / "demo"
    with demo(directory) as running:
        assert running.stdout is not None
        for line in running.stdout:
            if "all three ready" in line:
                break
        assert left_over(directory)
        running.send_signal(signal.SIGINT)
        running.stdout.read()
        assert running.wait(30) != 0
    assert left_over(directory) == []


def test_an_envoy_that_does_not_run_breaks_the_promise(short_tmp: Path) -> None:
    """Told with the sidecar's own words, exit code 1, nothing left."""
    broken = short_tmp / "envoy"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    directory = short_tmp / "demo"
    with demo(directory, "--envoy", str(broken)) as running:
        told, _ = running.communicate(timeout=120)
    assert running.returncode == 1, told
    assert "FAIL the step ran to its end" in told
    assert "1 of 2 checks held" in told
    assert left_over(directory) == []
