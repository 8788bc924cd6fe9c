# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from iptables.backend import MISSING, Machine, Nft, Paper, Result, Tool, detect
from iptables.binaries import Binary
from iptables.rules import Family
from mesh.errors import CaptureFailed


class Programs:
    """A machine by table: the first words of a command to its result; what is not there is missing."""

    dry = False

    def __init__(self, table: dict[str, Result]) -> None:
        self.table = table
        self.ran: list[str] = []

    def run(self, program: str, *args: str, stdin: str | None = None) -> Result:
        line = " ".join((program, *args))
        self.ran.append(line)
        fits = [result for start, result in self.table.items() if line.startswith(start)]
        return fits[0] if fits else Result(MISSING, errors=f"{program}: not found")


NFT = {
    "iptables-nft-save": Result(),
    "iptables-nft --version": Result(output="iptables v1.8.9 (nf_tables)"),
    "iptables-nft -t nat": Result(),
}


def test_detection_proves_that_rules_can_be_set() -> None:
    machine = Programs(NFT)
    assert detect(machine, Family.V4, "") == Binary("iptables-nft", (1, 8, 9), nft=True)
    assert machine.ran[-2:] == [
        "iptables-nft -t nat -A INPUT -p 255 -j RETURN",
        "iptables-nft -t nat -D INPUT -p 255 -j RETURN",
    ]


def test_detection_takes_out_what_a_killed_one_left() -> None:
    left = Result(output="*nat\n-A INPUT -p 255 -j RETURN\nCOMMIT\n")
    machine = Programs({**NFT, "iptables-nft-save": left})
    detect(machine, Family.V4, "nft")
    assert [line.split()[3] for line in machine.ran if "255" in line] == ["-D", "-A", "-D"]


def test_detection_falls_back_to_the_plain_name() -> None:
    table = {name.replace("iptables-nft", "iptables"): result for name, result in NFT.items()}
    assert detect(Programs(table), Family.V4, "").name == "iptables"


def test_a_binary_that_cannot_set_rules_is_said_with_advice() -> None:
    refused = {
        **NFT,
        "iptables-nft -t nat": Result(4, errors="iptables: Permission denied (you must be root)"),
    }
    with pytest.raises(
        CaptureFailed, match="xtables resource problem: Permission denied"
    ) as caught:
        detect(Programs(refused), Family.V4, "nft")
    assert "NET_ADMIN" in caught.value.hint


def test_no_binary_at_all() -> None:
    with pytest.raises(CaptureFailed, match="no usable ip6tables") as caught:
        detect(Programs({}), Family.V6, "")
    assert "install iptables" in caught.value.hint


def test_a_dry_run_writes_down_commands_and_input(tmp_path: Path) -> None:
    file = tmp_path / "lines"
    paper = Paper(str(file), show=lambda line: None)
    tool = Tool(paper, Family.V4, detect(paper, Family.V4, ""))
    assert tool.save() == ""
    tool.restore("* nat\nCOMMIT\n")
    assert tool.try_command(("-t", "nat", "-F", "X"))
    assert file.read_text() == "iptables-save\n* nat\nCOMMIT\niptables -t nat -F X\n"


def test_failures_carry_the_tools_words() -> None:
    failing = Programs(
        {
            "iptables-restore": Result(4, errors="iptables-restore: line 3 failed"),
            "iptables-save": Result(1),
        }
    )
    tool = Tool(failing, Family.V4, Binary("iptables"))
    with pytest.raises(
        CaptureFailed, match="iptables-restore: xtables resource problem: line 3 failed"
    ):
        tool.restore("")
    with pytest.raises(CaptureFailed, match="iptables -X Y"):
        tool.command(("-X", "Y"))
    assert tool.save() == ""


def test_the_machine_runs_programs() -> None:
    machine = Machine()
    assert machine.run("cat", stdin="x") == Result(0, "x", "")
    assert machine.run("false").code == 1
    assert machine.run("no-such-program").code == MISSING


def test_a_tool_gets_all_its_input_though_we_are_killed(tmp_path: Path) -> None:
    """A part of a transaction is a transaction too: nft would apply it."""
    file = tmp_path / "input"
    code = (
        "from iptables.backend import Machine\n"
        f"Machine().run('sh', '-c', 'kill -9 $PPID; cat > {file}.new; mv {file}.new {file}', stdin='x' * 4_000_000)"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    deadline = time.monotonic() + 60
    while not file.exists():  # the tool outlives us
        assert time.monotonic() < deadline
        time.sleep(0.01)
    assert file.stat().st_size == 4_000_000


def test_nft_that_is_missing_or_complains() -> None:
    with pytest.raises(CaptureFailed, match="nft: not found") as missing:
        Nft(Programs({})).chains()
    assert "install nftables" in missing.value.hint
    complaint = (
        "/dev/stdin:3:5-9: Error: No such file or directory; did you mean x\nadd rule\n ^^^\n"
    )
    refusing = Nft(Programs({"nft": Result(1, errors=complaint)}))
    assert refusing.chains() == ""
    with pytest.raises(CaptureFailed, match="nft: No such file or directory") as refused:
        refusing.apply("add rule")
    assert "module" in refused.value.hint
