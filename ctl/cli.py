# SPDX-License-Identifier: Apache-2.0
"""The command line of ``pilotctl``: reads argv, hands on to one module a command, prints, exits.

Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

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
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Returns its exit code; an error is one line and a hint on standard error."""
    arguments = parser().parse_args(argv)
    try:
        match arguments.command:
            case "demo":
                return _demo(arguments, sys.argv[1:] if argv is None else list(argv))
            case other:
                raise AssertionError(f"BUG: command {other!r} has no code")
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


if __name__ == "__main__":
    sys.exit(main())
