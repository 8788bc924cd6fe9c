# SPDX-License-Identifier: Apache-2.0
"""``istio-iptables`` and ``istio-clean-iptables``: reads words, variables and the host, then hands over.

Everything else of the room is told what it needs; argv and environment are read here only. Exit codes: 0, 1 for
settings or the kernel, 126 for a probe that was not captured, 255 for words that are no flags (as the peer's command
line). Source: spec/agent.md 0.4, 10.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from typing import Protocol

from iptables import flags, settings
from iptables.backend import Runner
from iptables.config import CaptureConfig, RunOptions
from iptables.flags import Words
from iptables.settings import Settings
from mesh import log as logs
from mesh.errors import BadSetting, ExitCode, MeshError

log = logs.get("iptables")


def main(argv: Sequence[str] | None = None) -> int:
    """One run; the exit code."""
    return run(sys.argv[1:] if argv is None else list(argv), os.environ)


def clean_main() -> int:
    """``istio-clean-iptables``: the same flags, only cleaning."""
    return main([*sys.argv[1:], "--cleanup-only"])


def run(argv: Sequence[str], env: Mapping[str, str]) -> int:
    """The program with its surroundings as arguments."""
    words = flags.read(argv, env)
    if words.switch("help"):
        print(flags.usage())
        return ExitCode.OK
    if words.faults:
        return _refuse(words.faults, ExitCode.FAILED)
    try:
        logs.configure(
            as_json=words.switch("log_as_json"),
            levels=logs.parse_levels(words.text("log_output_level")),
        )
        return _capture(read_settings(words, env))
    except MeshError as error:
        log.error("capture not set up", reason=str(error), hint=error.hint)  # noqa: TRY400  the reason is in it
        print(f"Error: {error}", file=sys.stderr)
        return _code(error)


def read_settings(words: Words, env: Mapping[str, str]) -> Settings:
    """Settings of this machine; enters the network namespace that was asked for, as its addresses count."""
    from iptables import host

    if path := words.text("network-namespace"):
        host.enter_network(path)
    nameservers = words.switch("redirect-dns") and not words.switch("capture-all-dns")
    return settings.build(words, env, host.facts(env, nameservers=nameservers))


def _capture(found: Settings) -> int:
    for warning in found.warnings:
        log.warning(
            "setting without effect", name=warning.name, value=warning.value, why=warning.why
        )
    if found.faults:
        return _refuse(found.faults, ExitCode.APPLY_FAILED)
    if found.run.explain:
        from iptables.explain import explain

        print(explain(found.config, found.run.explain, nft=found.run.native_nftables))
        return ExitCode.OK
    capture = None
    if not found.run.skip_rule_apply:
        capture = _capture_of(found.config, found.run)
        capture.program()
    if found.run.run_validation and not found.run.dry_run and not found.run.cleanup_only:
        _validate(found, capture)
    return ExitCode.OK


class Capture(Protocol):
    """Either backend, with what is planned for it."""

    def program(self) -> None: ...

    def undo(self) -> None: ...


def _capture_of(config: CaptureConfig, run: RunOptions) -> Capture:
    if run.native_nftables:
        from iptables import nft

        return nft.Capture(_runner(run), config, run)
    from iptables import apply

    if run.cni_mode and not run.dry_run:
        _isolate(run)
    return apply.Capture(_runner(run), config, run)


def _validate(found: Settings, capture: Capture | None) -> None:
    from iptables import probe

    try:
        probe.validate(found.config, port=found.run.probe_port, timeout=found.run.probe_timeout)
    except probe.NotCaptured:
        if found.run.rollback and capture is not None:
            log.warning("the probe was not captured; what was set is taken back")
            capture.undo()
        raise


def _runner(run: RunOptions) -> Runner:
    from iptables.backend import Machine, Paper

    if run.dry_run:
        return Paper(run.dry_run_file)
    lock = (
        {"XTABLES_LOCKFILE": run.network_namespace}
        if run.cni_mode and run.network_namespace
        else {}
    )
    return Machine({**os.environ, **lock})


def _isolate(run: RunOptions) -> None:
    from iptables import host

    try:
        host.isolate_mounts(run.network_namespace or None)
    except OSError as error:
        log.warning("no mount namespace of our own; going on without", error=str(error))


def _refuse(faults: Sequence[BadSetting], code: ExitCode) -> int:
    """Say all that is wrong; nothing has been touched."""
    for fault in faults:
        log.error(
            "setting refused", name=fault.name, value=fault.value, why=fault.why, hint=fault.hint
        )
    print(f"Error: {'; '.join(str(fault) for fault in faults)}", file=sys.stderr)
    return code


def _code(error: MeshError) -> int:
    return (
        ExitCode.VALIDATION_FAILED
        if error.exit_code is ExitCode.VALIDATION_FAILED
        else ExitCode.APPLY_FAILED
    )


if __name__ == "__main__":
    sys.exit(main())
