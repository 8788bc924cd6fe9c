# SPDX-License-Identifier: Apache-2.0
"""Every failure that an operator may meet, by cause. Pure; raises and formats, never logs.

    MeshError
     +- BadSetting           a flag, variable, annotation or file holds what it may not
     |   +- BadSettings      several of them, reported together
     +- UpstreamUnavailable  the control plane or the CA cannot be reached
     +- Rejected             a peer understood us and said no
     +- SigningFailed        no certificate came out of the CA
     +- BootstrapFailed      Envoy's first configuration could not be written
     +- EnvoyFailed          Envoy could not be started, asked or stopped
     +- CaptureFailed        the kernel's rules could not be brought to the wanted state

Messages are lower case without a final period; facts are attributes; ``hint`` says what to try.
Exit codes are the peer's (spec/agent.md 0.4, 10).
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum


class ExitCode(IntEnum):
    """What the shell sees. Go's ``os.Exit(-1)`` is 255."""

    OK = 0
    """Also after Envoy exited badly: the peer only logs that. ADR 0012: not where restarts were tried in vain."""
    APPLY_FAILED = 1
    """istio-iptables: bad configuration or the kernel refused; agent: a CA root vanished at start."""
    VALIDATION_FAILED = 126
    """istio-iptables: the rules are in place, the probe was not captured."""
    FAILED = 255
    """A command of pilot-agent returned an error."""


class MeshError(Exception):
    """The family. ``str()`` is the message; ``hint`` is what an operator should try next."""

    hint: str = ""
    exit_code: ExitCode = ExitCode.FAILED


class BadSetting(MeshError):
    """One setting that cannot be used: its name, what it held, and why that is wrong."""

    hint = "correct the setting and start again"

    def __init__(self, name: str, value: str, why: str, *, hint: str = "") -> None:
        super().__init__(f"{name}={_shown(name, value)!r}: {why}")
        self.name = name
        self.value = value
        self.why = why
        if hint:
            self.hint = hint


def _shown(name: str, value: str) -> str:
    """The value as it may stand in a log."""
    from mesh import redact  # with the first fault: short commands do not pay for its patterns

    return redact.value(name, value)


class BadSettings(BadSetting):
    """Several bad settings at once, so that one restart is enough to mend them."""

    def __init__(self, faults: Sequence[BadSetting]) -> None:
        first = faults[0]
        super().__init__(first.name, first.value, first.why)
        self.faults = tuple(faults)
        self.args = ("; ".join(str(fault) for fault in faults),)
        self.hint = "; ".join(dict.fromkeys(fault.hint for fault in faults))


class UpstreamUnavailable(MeshError):
    """The other side of a link is not there. Callers retry; they say so."""

    hint = "check that the control plane runs and that its address and root certificate are right"

    def __init__(self, address: str, why: str) -> None:
        super().__init__(f"{address} unavailable: {why}")
        self.address = address
        self.why = why


class Rejected(MeshError):
    """A peer understood the request and refused it. Repeating it unchanged will not help."""

    def __init__(self, what: str, why: str) -> None:
        super().__init__(f"{what} rejected: {why}")
        self.what = what
        self.why = why


class SigningFailed(MeshError):
    """No usable certificate came back. ``retryable`` says whether the CA may answer otherwise."""

    hint = "check the service account token, the CA address and the CA's log"

    def __init__(self, ca: str, why: str, *, retryable: bool = True) -> None:
        super().__init__(f"certificate request to {ca} failed: {why}")
        self.ca = ca
        self.why = why
        self.retryable = retryable


class BootstrapFailed(MeshError):
    """Envoy's bootstrap was not written. ``field`` names the input that caused it, if known."""

    hint = "check the proxy configuration and the ISTIO_META_ variables"

    def __init__(self, why: str, *, field: str = "") -> None:
        super().__init__(f"bootstrap failed: {f'{field}: ' if field else ''}{why}")
        self.why = why
        self.field = field


class EnvoyFailed(MeshError):
    """Envoy could not be started, reached or stopped."""

    hint = "check binaryPath and Envoy's own log lines above"

    def __init__(self, why: str) -> None:
        super().__init__(f"envoy failed: {why}")
        self.why = why


class CaptureFailed(MeshError):
    """The kernel's ruleset is not what was asked for; it was put back where that was possible."""

    exit_code = ExitCode.APPLY_FAILED

    def __init__(self, why: str, *, hint: str = "") -> None:
        super().__init__(f"traffic capture failed: {why}")
        self.why = why
        if hint:
            self.hint = hint
