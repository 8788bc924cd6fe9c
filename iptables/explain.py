# SPDX-License-Identifier: Apache-2.0
"""``--explain``: says which planned rule decides about a packet, and why. Pure; agrees with the kernel by test."""

from __future__ import annotations

from iptables import nft_steps, steps
from iptables.config import CaptureConfig
from iptables.packet import Packet, parse
from iptables.rules import Family
from iptables.walk import Decision, Do, Ruleset, decide


def explain(config: CaptureConfig, text: str, *, nft: bool = False) -> str:
    """The decision in words. BadSetting when the packet cannot be understood."""
    packet = parse(text)
    decision = decide(ruleset(config, packet, nft=nft), packet)
    lines = [f"{text}: {outcome(decision)}"]
    for step in decision.passed:
        deciding = "=>" if step is decision.step else "  "
        lines.append(f"{deciding} {step.table} {step.chain} {step.text}")
        lines.append(f"     {step.why}")
    if not (nft or config.ipv6) and packet.family is Family.V6:
        lines.append(
            "   IPv6 is not captured: the host's address is an IPv4 one (see --dual-stack)"
        )
    elif decision.step is None:
        lines.append("   no rule takes it")
    return "\n".join(lines)


def ruleset(config: CaptureConfig, packet: Packet, *, nft: bool) -> Ruleset:
    """The rules that the packet meets with that backend."""
    return nft_steps.ruleset(config) if nft else steps.ruleset(config, packet.family)


def outcome(decision: Decision) -> str:
    """One phrase."""
    match decision.verdict:
        case Do.REDIRECT:
            return f"captured, goes to port {decision.port}"
        case Do.TPROXY:
            return f"captured with its address kept, goes to port {decision.port}"
        case Do.DROP:
            return "dropped"
        case _:
            return "not captured"
