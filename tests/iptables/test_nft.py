# SPDX-License-Identifier: Apache-2.0
"""Dialogues with an nft that is a table of answers; the real one's turn is in test_nft_kernel."""

from __future__ import annotations

import pytest

from iptables import nft, routes
from iptables.backend import Result
from iptables.config import CaptureConfig, RunOptions
from iptables.netlink import Message
from iptables.nft_observed import Found
from iptables.nft_plan import plan
from iptables.nft_render import removal, transaction
from mesh.errors import CaptureFailed

CONFIG = CaptureConfig(inbound_ports=("*",))
ROUTE = Message(1, 2, b"route")
NATIVE = RunOptions(native_nftables=True)
OURS = "table inet istio-proxy-nat {\n\tchain output {\n\t}\n}\n"


class Kernel:
    """nft and netlink on one timeline."""

    dry = False

    def __init__(self, *, listed: str = "", refuses: bool = False) -> None:
        self.listed = listed
        self.refuses = refuses
        self.did: list[object] = []

    def run(self, program: str, *args: str, stdin: str | None = None) -> Result:
        if args[0] == "list":
            return Result(output=self.listed)
        self.did.append(stdin)
        return Result(1, errors="Error: no") if self.refuses else Result()


@pytest.fixture
def kernel(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    made = Kernel()

    def add(config: CaptureConfig) -> list[Message]:
        made.did.append("routes")
        return [ROUTE]

    monkeypatch.setattr(routes, "add", add)
    monkeypatch.setattr(routes, "remove", lambda config: made.did.append("no routes"))
    monkeypatch.setattr(routes, "take_back", made.did.append)
    return made


TEXT = transaction(plan(CONFIG), Found(), comments=True)


def test_routes_come_before_the_rules_that_need_them(kernel: Kernel) -> None:
    nft.Capture(kernel, CONFIG, NATIVE).program()
    assert kernel.did == ["routes", TEXT]


def test_a_refused_transaction_takes_back_the_routes_it_brought(kernel: Kernel) -> None:
    kernel.refuses = True
    with pytest.raises(CaptureFailed, match="nft: no"):
        nft.Capture(kernel, CONFIG, NATIVE).program()
    assert kernel.did == ["routes", TEXT, [ROUTE]]


def test_cleaning_takes_the_rules_first(kernel: Kernel) -> None:
    nft.Capture(kernel, CONFIG, NATIVE._replace(cleanup_only=True)).program()
    assert kernel.did == [removal(), "no routes"]


def test_rollback_goes_to_what_stood_before(kernel: Kernel) -> None:
    kernel.listed = OURS
    capture = nft.Capture(kernel, CONFIG, NATIVE._replace(rollback=True))
    capture.program()
    kernel.did.clear()
    capture.undo()
    assert kernel.did == [removal() + OURS, [ROUTE]]
