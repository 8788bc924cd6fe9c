# SPDX-License-Identifier: Apache-2.0
"""The command line: flags, their variables, defaults. Pure; the meaning of values is ``settings``' matter.

Forms are pflag's: ``--name=value``, ``--name value``, ``-n value``, ``-nvalue``; a bare switch is true. A variable sets
the initial value, a flag wins; a variable that cannot be read is skipped with a warning (the peer: silently).
Source: spec/agent.md 1.1, 10.1. ``argparse`` is not used: it knows neither ``--switch=false`` nor the start-up budget.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from enum import Enum
from typing import NamedTuple

from mesh import ports
from mesh.errors import BadSetting


class Kind(Enum):
    """What a flag holds."""

    TEXT = "string"
    SWITCH = ""
    PORT = "uint16"
    DURATION = "duration"


Value = str | bool | int | float
MAX_PORT = 65535


class Flag(NamedTuple):
    """One flag: its name, what it holds, and the variables that set it, the last one strongest."""

    name: str
    kind: Kind
    default: Value
    doc: str
    short: str = ""
    env: tuple[str, ...] | None = None
    """None: the name in upper case."""
    ours: bool = False
    """Not known to the peer."""

    @property
    def variables(self) -> tuple[str, ...]:
        return self.env if self.env is not None else (self.name.upper().replace("-", "_"),)


def _text(name: str, doc: str, *, default: str = "", short: str = "") -> Flag:
    return Flag(name, Kind.TEXT, default, doc, short)


def _switch(name: str, doc: str, *more: str, short: str = "", ours: bool = False) -> Flag:
    own = name.upper().replace("-", "_")
    prefix = "PILOT_IPTABLES_" if ours else ""
    return Flag(name, Kind.SWITCH, False, doc, short, (prefix + own, *more), ours)


FLAGS = (
    Flag(
        "envoy-port",
        Kind.TEXT,
        str(ports.OUTBOUND_CAPTURE),
        "port that outbound TCP goes to",
        "p",
        env=(),
    ),
    _text(
        "inbound-capture-port",
        "port that inbound TCP goes to",
        default=str(ports.INBOUND_CAPTURE),
        short="z",
    ),
    _text(
        "inbound-tunnel-port",
        "port of HBONE, never captured",
        default=str(ports.HBONE),
        short="e",
    ),
    _text(
        "proxy-uid",
        "user ids of the proxy, whose traffic is not captured; default: ENVOY_USER's, else 1337",
        short="u",
    ),
    _text("proxy-gid", "group ids of the proxy; default: the user ids", short="g"),
    _text(
        "istio-inbound-interception-mode",
        "TPROXY keeps the source address; anything else is REDIRECT",
        short="m",
    ),
    _text(
        "istio-inbound-ports",
        "inbound ports to capture, comma separated; * all; empty none",
        short="b",
    ),
    _text("istio-local-exclude-ports", "inbound ports to leave, with * only", short="d"),
    _text("istio-exclude-interfaces", "interfaces whose traffic is left alone", short="c"),
    _text(
        "istio-service-cidr",
        "outbound ranges to capture, comma separated; * all; empty none",
        short="i",
    ),
    _text("istio-service-exclude-cidr", "outbound ranges to leave", short="x"),
    _text("istio-outbound-ports", "outbound ports to capture whatever their address", short="q"),
    _text("istio-local-outbound-ports-exclude", "outbound ports to leave", short="o"),
    _text("kube-virt-interfaces", "interfaces whose inbound traffic counts as outbound", short="k"),
    _text("istio-inbound-tproxy-mark", "mark of TPROXY traffic", default="1337", short="t"),
    _text(
        "istio-inbound-tproxy-route-table",
        "route table of TPROXY traffic",
        default="133",
        short="r",
    ),
    _switch(
        "dry-run", "change nothing; what would be run can be read in DRY_RUN_FILE_PATH", short="n"
    ),
    Flag(
        "iptables-probe-port",
        Kind.PORT,
        ports.CAPTURE_PROBE,
        "port that the validation connects to",
    ),
    Flag("probe-timeout", Kind.DURATION, 5.0, "how long the validation may take"),
    _switch("skip-rule-apply", "do not touch rules, routes or addresses"),
    _switch("run-validation", "afterwards check with a connection that traffic is captured"),
    _switch("redirect-dns", "send DNS to the agent", "ISTIO_META_DNS_CAPTURE"),
    _switch("drop-invalid", "drop packets that connection tracking cannot place", "INVALID_DROP"),
    _switch("dual-stack", "both families, whichever comes first", "ISTIO_DUAL_STACK"),
    _switch("capture-all-dns", "DNS to any server, not only to those of resolv.conf"),
    _text("network-namespace", "path of the network namespace to work in"),
    _switch("cni-mode", "run from the host's file system for a pod's network namespace"),
    _switch("reconcile", "when rules are there but differ, remove and set them anew"),
    _switch("cleanup-only", "remove what the same flags would set"),
    _switch("force-apply", "apply even when nothing differs"),
    _switch("native-nftables", "use nft with tables of our own"),
    _text("force-iptables-binary", "legacy or nft; default: what works here"),
    _switch("guard", "no traffic passes between the first change and the last", ours=True),
    _switch("rollback", "undo when the validation fails", ours=True),
    Flag(
        "rule-comments",
        Kind.SWITCH,
        default=True,
        doc="nft rules carry their reason as a comment; not with PILOT_COMPAT=strict",
        env=("PILOT_IPTABLES_RULE_COMMENTS",),
        ours=True,
    ),
    Flag(
        "explain",
        Kind.TEXT,
        "",
        "print which rule decides about a packet, such as 'tcp out 10.0.0.5:5432 uid 1000'",
        env=(),
        ours=True,
    ),
    Flag("log_output_level", Kind.TEXT, "", "scope:level,...", env=()),
    Flag("log_target", Kind.TEXT, "stdout", "where log lines go", env=()),
    Flag("log_as_json", Kind.SWITCH, default=False, doc="log lines as JSON", env=()),
    Flag("log_caller", Kind.TEXT, "", "scopes that name the caller", env=()),
    Flag("log_stacktrace_level", Kind.TEXT, "default:none", "scope:level,...", env=()),
    Flag("vklog", Kind.TEXT, "0", "level of Kubernetes client lines", env=()),
    Flag("help", Kind.SWITCH, default=False, doc="this text", short="h", env=()),
)
BY_NAME = {flag.name: flag for flag in FLAGS}
BY_SHORT = {flag.short: flag for flag in FLAGS if flag.short}

TRUE = frozenset({"1", "t", "T", "TRUE", "true", "True"})
FALSE = frozenset({"0", "f", "F", "FALSE", "false", "False"})


class Words(NamedTuple):
    """What the command line and the variables say, by flag name."""

    values: dict[str, Value]
    given: frozenset[str]
    """Set by a flag or a variable, rather than by default."""
    faults: tuple[BadSetting, ...] = ()
    warnings: tuple[BadSetting, ...] = ()

    def text(self, name: str) -> str:
        return str(self.values[name])

    def switch(self, name: str) -> bool:
        return bool(self.values[name])


def read(argv: Sequence[str], env: Mapping[str, str]) -> Words:
    """All values; faults are what pflag would refuse, warnings what it skips."""
    values: dict[str, Value] = {flag.name: flag.default for flag in FLAGS}
    given: set[str] = set()
    warnings: list[BadSetting] = []
    for flag, name in _set_variables(env):
        try:
            values[flag.name] = convert(flag.kind, env[name])
            given.add(flag.name)
        except ValueError as error:
            warnings.append(BadSetting(name, env[name], f"{error}; skipped"))
    faults: list[BadSetting] = []
    for item in _items(argv):
        if isinstance(item, BadSetting):
            faults.append(item)
            continue
        flag, text = item
        try:
            values[flag.name] = convert(flag.kind, text)
            given.add(flag.name)
        except ValueError as error:
            faults.append(BadSetting(f"--{flag.name}", text, str(error)))
    return Words(values, frozenset(given), tuple(faults), tuple(warnings))


def _set_variables(env: Mapping[str, str]) -> Iterator[tuple[Flag, str]]:
    for flag in FLAGS:
        yield from ((flag, name) for name in flag.variables if name in env)


def convert(kind: Kind, text: str) -> Value:
    """The value in ``text``; ValueError says why not."""
    match kind:
        case Kind.TEXT:
            return text
        case Kind.SWITCH:
            if text not in TRUE | FALSE:
                raise ValueError("neither true nor false")
            return text in TRUE
        case Kind.PORT:
            if not (text.isascii() and text.isdigit() and int(text) <= MAX_PORT):
                raise ValueError("not a port")
            return int(text)
        case Kind.DURATION:
            from mesh.durations import parse  # only who gives one pays for it

            return parse(text)


def _items(argv: Sequence[str]) -> Iterator[tuple[Flag, str] | BadSetting]:
    """Each flag with its text, or what is wrong with a word; arguments that are no flags are left out."""
    words = iter(argv)
    for word in words:
        if word == "--":
            return
        if word.startswith("--"):
            name, has_value, text = word[2:].partition("=")
            yield _with_value(word, BY_NAME.get(name), text if has_value else None, words)
        elif word.startswith("-") and word != "-":
            yield from _short(word, words)


def _short(word: str, words: Iterator[str]) -> Iterator[tuple[Flag, str] | BadSetting]:
    """``-n``, ``-nd`` (switches together), ``-p1``, ``-p=1``, ``-p 1``."""
    rest = word[1:]
    while rest:
        flag, rest = BY_SHORT.get(rest[0]), rest[1:]
        if flag is not None and flag.kind is Kind.SWITCH and not rest.startswith("="):
            yield flag, "true"
            continue
        text = rest.removeprefix("=") if rest else None
        yield _with_value(word, flag, text, words)
        return


def _with_value(
    word: str, flag: Flag | None, text: str | None, words: Iterator[str]
) -> tuple[Flag, str] | BadSetting:
    if flag is None:
        return BadSetting(word.partition("=")[0], word, "unknown flag", hint="see --help")
    if text is None and flag.kind is Kind.SWITCH:
        text = "true"
    if text is None:
        text = next(words, None)
    if text is None:
        return BadSetting(f"--{flag.name}", "", "flag needs an argument", hint="see --help")
    return flag, text


def usage() -> str:
    """The text of ``--help``."""
    lines = ["Sets up traffic capture.", "", "Usage:", "  istio-iptables [flags]", "", "Flags:"]
    for flag in FLAGS:
        short = f"-{flag.short}, " if flag.short else "    "
        lines.append(f"  {short}--{flag.name} {flag.kind.value}".rstrip())
        env = f" [{', '.join(flag.variables)}]" if flag.variables else ""
        default = f" (default {_shown(flag.default)})" if flag.default not in ("", False) else ""
        lines.append(f"          {flag.doc}{default}{env}")
    return "\n".join(lines)


def _shown(default: Value) -> str:
    return "true" if default is True else str(default)
