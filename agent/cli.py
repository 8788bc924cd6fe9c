# SPDX-License-Identifier: Apache-2.0
"""``pilot-agent``: the only place that reads argv, the environment and the files that settings depend on.

Commands, flags and exit codes are the peer's (spec/agent.md 1.1-1.6, 0.4). Each command imports what it needs when it
runs, so that ``istio-iptables`` and ``request`` do not pay for the sidecar.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import mesh.log
from agent import version
from agent.flags import Kind, Parsed, parse
from mesh import paths
from mesh.errors import BadSetting, BadSettings, ExitCode, MeshError

if TYPE_CHECKING:
    from agent.settings import Flags, Settings, World

log = mesh.log.get()

LOGGING = {
    "log_target": Kind.LIST,
    "log_as_json": Kind.SWITCH,
    "log_output_level": Kind.TEXT,
    "log_stacktrace_level": Kind.TEXT,
    "log_caller": Kind.TEXT,
    "vklog": Kind.TEXT,
    "help": Kind.SWITCH,
    "h": Kind.SWITCH,
}
"""Flags of every command."""

PROXY = {
    "domain": Kind.TEXT,
    "meshConfig": Kind.TEXT,
    "stsPort": Kind.NUMBER,
    "tokenManagerPlugin": Kind.TEXT,
    "serviceCluster": Kind.TEXT,
    "proxyLogLevel": Kind.TEXT,
    "concurrency": Kind.NUMBER,
    "proxyComponentLogLevel": Kind.TEXT,
    "templateFile": Kind.TEXT,
    "outlierLogPath": Kind.TEXT,
    "profiling": Kind.SWITCH,
}
REQUEST = {"debug-port": Kind.NUMBER}
WAIT = {
    "timeoutSeconds": Kind.NUMBER,
    "requestTimeoutMillis": Kind.NUMBER,
    "periodMillis": Kind.NUMBER,
    "url": Kind.TEXT,
}
UPGRADE = {"envoy": Kind.TEXT}
VERSION = {"s": Kind.SWITCH, "short": Kind.SWITCH, "o": Kind.TEXT, "output": Kind.TEXT}

DEBUG_PORTS = (15000, 15021, 15020, 15004)
DEFAULT_LEVELS = "default:info,grpc:none"

USAGE = """\
Usage: pilot-agent [command] [flags]

Commands:
  proxy [type]                     supervise Envoy: sidecar, router, waypoint, ztunnel, agentgateway
  request <method> <path> [body]   ask Envoy's admin port or the agent's status port
  wait                             return when Envoy is ready
  istio-iptables                   set up traffic capture
  upgrade --envoy PATH             let another Envoy take over from the one that runs here
  shutdown-plan                    what an end would do, phase by phase, with these settings
  forget-identity                  remove the identity stored in PILOT_IDENTITY_DIR
  version                          print the version

Flags of every command:
  --log_as_json                    one JSON object a line
  --log_output_level scope:level,...
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The exit code of one command."""
    words = list(sys.argv[1:] if argv is None else argv)
    name, rest = _split(words)
    command = COMMANDS.get(name)
    if command is None:
        if name:
            return _failed(BadSetting("command", name, "unknown command for pilot-agent"))
        print(USAGE, end="")
        return ExitCode.OK
    try:
        return command(rest)
    except MeshError as error:
        return _failed(error)


def _split(words: list[str]) -> tuple[str, list[str]]:
    """The command and all other words; flags may stand before it."""
    at = 0
    while at < len(words):
        word = words[at]
        if not word.startswith("-"):
            return word, words[:at] + words[at + 1 :]
        kind = LOGGING.get(word.lstrip("-"), Kind.SWITCH)
        at += 1 if kind is Kind.SWITCH else 2
    return "", words


def _failed(error: MeshError) -> int:
    print(f"Error: {error}", file=sys.stderr)
    faults = error.faults if isinstance(error, BadSettings) else (error,)
    for fault in faults:
        facts = {"hint": fault.hint} if fault.hint else {}
        log.error(str(fault), **facts)
    return error.exit_code


def proxy(words: list[str]) -> int:
    """``proxy [type]``: one life of the sidecar."""
    parsed = parse(words, LOGGING | PROXY, tolerant=True)
    if _helped(parsed):
        return ExitCode.OK
    _configure_log(parsed)
    log.info("starting", version=version.FULL, python=sys.version.split()[0])
    if parsed.unknown:
        log.warning("unknown flags are ignored", flags=" ".join(parsed.unknown))
    from agent.settings import load

    settings = load(_world(_flags(parsed)))
    _tell(settings)

    import asyncio

    from agent.app import run_agent
    from mesh.clock import SystemClock

    return asyncio.run(run_agent(settings, SystemClock()))


def shutdown_plan(words: list[str]) -> int:
    """``shutdown-plan``: the plan of a ``proxy`` with this environment and these flags. Ours."""
    parsed = parse(words, LOGGING | PROXY)
    if _helped(parsed):
        return ExitCode.OK
    from agent.settings import lifecycle_of
    from agent.shutdown import explained

    options, tolerated = lifecycle_of(_world(_flags(parsed)))
    for fault in tolerated:
        print(f"warning: {fault}: {fault.hint}", file=sys.stderr)
    print(explained(options), end="")
    return ExitCode.OK


def upgrade(words: list[str]) -> int:
    """``upgrade --envoy PATH``: let another Envoy program take over from the one that the agent here runs. Ours."""
    parsed = parse(words, LOGGING | PROXY | UPGRADE)
    if _helped(parsed):
        return ExitCode.OK
    binary = parsed.text("envoy")
    if not binary:
        raise BadSetting("--envoy", "", "the program that is to take over is not named")
    from agent.asking import upgrade_once
    from agent.settings import admin_endpoint_of

    options = admin_endpoint_of(_world(_flags(parsed)))
    token = (_text(options.token_file) or "").strip()
    if not token:
        hint = "run this as the agent's user, with its environment, beside it"
        raise BadSetting("PILOT_STATE_DIR", options.token_file, "no token there", hint=hint)
    print(upgrade_once(os.path.abspath(binary), socket=options.socket, token=token))
    return ExitCode.OK


def forget_identity(words: list[str]) -> int:
    """``forget-identity``: remove what is stored for a restart; an agent that runs serves on from memory. Ours."""
    if _helped(parse(words, LOGGING)):
        return ExitCode.OK
    parent = os.environ.get("PILOT_IDENTITY_DIR", "")
    if not parent:
        raise BadSetting("PILOT_IDENTITY_DIR", "", "no identity is stored without it")
    from sdsserver.identity import remove_stored

    removed = remove_stored(parent)
    print(f"removed {removed}" if removed else f"no identity is stored in {parent}")
    return ExitCode.OK


def _helped(parsed: Parsed) -> bool:
    if "help" not in parsed.texts and "h" not in parsed.texts:
        return False
    print(USAGE, end="")
    return True


def _configure_log(parsed: Parsed) -> None:
    levels = mesh.log.parse_levels(DEFAULT_LEVELS)
    levels |= mesh.log.parse_levels(parsed.text("log_output_level"))
    stderr = parsed.lists.get("log_target") == ["stderr"]
    as_json = parsed.switch("log_as_json", default=False)
    mesh.log.configure(as_json=as_json, levels=levels, stream=sys.stderr if stderr else None)


def _flags(parsed: Parsed) -> Flags:
    from agent.settings import Flags

    return Flags(
        kind=parsed.arguments[0] if parsed.arguments else "sidecar",
        domain=parsed.text("domain"),
        sts_port=parsed.number("stsPort", 0),
        service_cluster=parsed.text("serviceCluster", "istio-proxy"),
        proxy_log_level=parsed.text("proxyLogLevel", "warning"),
        proxy_component_log_level=parsed.text("proxyComponentLogLevel"),
        concurrency=parsed.number("concurrency", 0),
        template_file=parsed.text("templateFile"),
        outlier_log_path=parsed.text("outlierLogPath"),
        profiling=parsed.switch("profiling", default=True),
        log_as_json=parsed.switch("log_as_json", default=False),
        mesh_config=parsed.text("meshConfig", paths.MESH_CONFIG),
    )


def _world(flags: Flags) -> World:
    """Everything outside that settings depend on."""
    from agent.interfaces import usable_addresses
    from agent.settings import World
    from mesh.cgroup import Cgroup
    from wire.h2io.tls import can_choose_groups

    env = dict(os.environ)
    group = Cgroup()
    return World(
        env=env,
        flags=flags,
        mesh_text=_text(flags.mesh_config) or "",
        labels_text=_text(paths.POD_LABELS),
        annotations_text=_text(paths.POD_ANNOTATIONS),
        override_text=_text(env.get("ISTIO_BOOTSTRAP_OVERRIDE", "")),
        addresses=usable_addresses(),
        uid=os.getuid(),
        exists=lambda path: os.path.exists(path) and not os.path.isdir(path),
        version=version.VERSION,
        chooses_groups=can_choose_groups(),
        cpus=group.cpus(),
        cores=os.cpu_count() or 1,
        memory=group.memory(),
    )


def _text(path: str) -> str | None:
    """A file's text; None where there is none."""
    if not path:
        return None
    try:
        return Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        log.warning("file cannot be read and is left out", path=path, why=str(error))
        return None


def _tell(settings: Settings) -> None:
    for fault in settings.warnings:
        log.warning("setting tolerated", name=fault.name, why=fault.why, hint=fault.hint)
    for note in settings.notes:
        log.warning("configuration tolerated", why=note)
    log.info("proxy role", node=settings.node.id, cluster=settings.node.cluster)


def request(words: list[str]) -> int:
    """``request <method> <path> [body]``: the body of the answer and nothing else on standard output."""
    parsed = parse(words, LOGGING | REQUEST)
    if len(parsed.arguments) < 2:
        raise BadSetting("request", " ".join(parsed.arguments), "requires a method and a path")
    port = parsed.number("debug-port", 15000)
    if port not in DEBUG_PORTS:
        why = f"debug port must be one of {', '.join(map(str, DEBUG_PORTS))}"
        raise BadSetting("--debug-port", str(port), why)
    from agent.asking import request_once

    method, path, *body = parsed.arguments
    print(request_once(method, path, body[0] if body else "", port=port))
    return ExitCode.OK


def wait(words: list[str]) -> int:
    """``wait``: until Envoy says that it is ready."""
    parsed = parse(words, LOGGING | WAIT)
    _configure_log(parsed)
    from agent.asking import wait_until_ready

    wait_until_ready(
        parsed.text("url", "http://localhost:15021/healthz/ready"),
        deadline=float(parsed.number("timeoutSeconds", 60)),
        request_timeout=parsed.number("requestTimeoutMillis", 500) / 1000,
        period=parsed.number("periodMillis", 500) / 1000,
    )
    return ExitCode.OK


def show_version(words: list[str]) -> int:
    """``version``, in the peer's three forms."""
    parsed = parse(words, LOGGING | VERSION)
    facts = {
        "version": version.VERSION,
        "revision": version.REVISION,
        "golang_version": f"python{sys.version.split()[0]}",
        "status": version.STATUS,
        "tag": version.TAG,
    }
    form = parsed.text("output", parsed.text("o"))
    match form:
        case "json":
            print(json.dumps({"clientVersion": facts}, indent=2))
        case "yaml":
            print("clientVersion:")
            print("\n".join(f"  {key}: {value}" for key, value in facts.items()))
        case "":
            print(f"client version: {_version_text(parsed)}")
        case _:
            raise BadSetting("--output", form, "must be 'yaml' or 'json'")
    return ExitCode.OK


def _version_text(parsed: Parsed) -> str:
    if parsed.switch("short", default=False) or parsed.switch("s", default=False):
        return version.VERSION
    return (
        f'version.BuildInfo{{Version:"{version.VERSION}", GitRevision:"{version.REVISION}", '
        f'GolangVersion:"python{sys.version.split()[0]}", BuildStatus:"{version.STATUS}", '
        f'GitTag:"{version.TAG}"}}'
    )


def iptables(words: list[str]) -> int:
    """``istio-iptables``: the capture program, in this process."""
    from importlib import import_module

    return int(import_module("iptables.cli").main(words))


COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "proxy": proxy,
    "request": request,
    "wait": wait,
    "version": show_version,
    "istio-iptables": iptables,
    "shutdown-plan": shutdown_plan,
    "forget-identity": forget_identity,
    "upgrade": upgrade,
}

if __name__ == "__main__":
    sys.exit(main())
