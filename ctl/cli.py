# SPDX-License-Identifier: Apache-2.0
"""The command line of ``pilotctl``: reads argv, hands on to one module a command, prints, exits.

Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from mesh.errors import ExitCode, MeshError


def parser() -> argparse.ArgumentParser:
    """All commands and their flags."""
    root = argparse.ArgumentParser(prog="pilotctl", description="Look at and try out a mesh.")
    commands = root.add_subparsers(dest="command", required=True, metavar="command")
    demo = commands.add_parser(
        "demo",
        help="run a control plane and three sidecars on this machine and check what they promise",
        description="Needs Linux and an Envoy; no root, no Kubernetes, no network.",
    )
    demo.add_argument(
        "--keep", action="store_true", help="leave it running afterwards, until Ctrl-C"
    )
    demo.add_argument(
        "--dir", default="", metavar="DIR", help="work here instead of a temporary folder"
    )
    demo.add_argument("--envoy", default="", metavar="PATH", help="the Envoy binary to run")
    demo.add_argument(
        "--capture",
        choices=("iptables", "nft"),
        default="",
        help="real capture, each workload in a network namespace; takes root, or a user namespace",
    )
    demo.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    _add_looking(commands)
    return root


def _add_looking(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Commands that ask a running agent."""
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--socket", default="", metavar="PATH", help="the agent's ADMIN socket")
    where.add_argument("--address", default="", metavar="HOST:PORT", help="or its PILOT_ADMIN_ADDR")
    where.add_argument(
        "--token-file", default="", metavar="PATH", help="admin.token: for TCP and for changes"
    )
    shown = argparse.ArgumentParser(add_help=False, parents=[where])
    shown.add_argument("--json", action="store_true", help="the agent's answer, for programs")
    commands.add_parser("status", help="ready or why not, identity, xDS, Envoy", parents=[shown])
    config = commands.add_parser("config", help="settings in force").add_subparsers(
        dest="part", required=True
    )
    effective = config.add_parser("effective", help="each value and its source", parents=[shown])
    effective.add_argument("--set", action="store_true", help="only what somebody set")
    commands.add_parser("nacks", help="what Envoy refused, and why", parents=[shown])
    logs = commands.add_parser("logs", help="log levels").add_subparsers(dest="part", required=True)
    level = logs.add_parser(
        "level", help="show them, or change them while it runs", parents=[shown]
    )
    level.add_argument("levels", nargs="?", default="", metavar="SCOPE:LEVEL,...")
    bundle = commands.add_parser(
        "support-bundle", help="all of it in one archive, secrets taken out", parents=[where]
    )
    bundle.add_argument("--output", default="pilothouse-support.tar.gz", metavar="FILE")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; an error is one line and a hint on standard error."""
    arguments = parser().parse_args(argv)
    try:
        match arguments.command:
            case "demo":
                return _demo(arguments, sys.argv[1:] if argv is None else list(argv))
            case _:
                return _look(arguments)
    except MeshError as error:
        print(f"Error: {error}", file=sys.stderr)
        if error.hint:
            print(f"  {error.hint}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:  # everything that was started is stopped by now
        return ExitCode.FAILED


def _demo(arguments: argparse.Namespace, words: list[str]) -> int:
    if arguments.capture and not arguments.inside:
        from ctl.demo.node import enter

        enter(arguments.capture, [*words, "--inside"])  # goes on there as another process
    from ctl.demo.story import run

    return run(
        keep=arguments.keep,
        directory=arguments.dir,
        envoy=arguments.envoy,
        capture=arguments.capture,
    )


def _look(arguments: argparse.Namespace) -> int:
    import json
    import time

    from ctl import bundle, looking
    from ctl.agent import SOCKET, AgentApi

    agent = AgentApi(
        unix=arguments.socket or SOCKET,
        address=arguments.address,
        token_file=arguments.token_file,
    )
    told: Any = None
    match arguments.command:
        case "status":
            told = agent.get("status")
            text = looking.status(told, time.time())
        case "config":
            told = agent.get("settings")
            if arguments.set:
                told["settings"] = looking.changed(told["settings"])
            text = looking.settings(told["settings"])
        case "nacks":
            told = agent.get("nacks")
            text = looking.nacks(told["nacks"])
        case "logs":
            given = arguments.levels
            page = "logs/levels"
            told = agent.post(page, {"levels": given}) if given else agent.get(page)
            text = looking.levels(told["levels"])
        case "support-bundle":
            names = bundle.write(agent, arguments.output, time.time())
            text = f"{arguments.output}: {', '.join(names)}\n"
        case other:
            raise AssertionError(f"BUG: command {other!r} has no code")
    as_json = getattr(arguments, "json", False)
    print(json.dumps(told, indent=2) + "\n" if as_json else text, end="")
    return ExitCode.OK


if __name__ == "__main__":
    sys.exit(main())
