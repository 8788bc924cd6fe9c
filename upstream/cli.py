# SPDX-License-Identifier: Apache-2.0
"""The command line of ``pilot-upstream``: the only reader of argv and environment here.

Source: spec/upstream.md 1.1, 13.2. Heavy modules are imported by the command that needs them.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.metadata import version

from mesh.errors import BadSetting, BadSettings, ExitCode, MeshError
from upstream import settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; its exit code. Every fault is a line on standard error, with a hint."""
    try:
        arguments, unknown = settings.parser().parse_known_args(argv)
        return _run(arguments, unknown)
    except BadSettings as error:
        for fault in error.faults:
            _complain(fault)
        return error.exit_code
    except MeshError as error:
        _complain(error)
        return error.exit_code


def _run(arguments: argparse.Namespace, unknown: Sequence[str]) -> int:
    match arguments.command:
        case "discovery" | "serve":
            return _serve(arguments, unknown)
        case "token":
            return _token(arguments, unknown)
        case "version":
            print(version("pilothouse"))
            return ExitCode.OK
        case other:
            raise AssertionError(f"BUG: command {other!r} has no code")


def _serve(arguments: argparse.Namespace, unknown: Sequence[str]) -> int:
    options = settings.serve_options(arguments, unknown, os.environ)
    import asyncio

    from mesh import log
    from upstream.app import until_signalled

    log.configure(as_json=options.log.as_json, levels=options.log.levels)
    asyncio.run(until_signalled(options))
    return ExitCode.OK


def _token(arguments: argparse.Namespace, unknown: Sequence[str]) -> int:
    if unknown:
        raise BadSetting("arguments", " ".join(unknown), "are not known to this command")
    options = settings.token_options(arguments)
    import time

    from upstream import addresses, development, tokens

    secure = addresses.read(options.state_dir).get("secure_grpc")
    if secure is not None and not secure.is_loopback:
        why = "the development issuer is refused: the TLS port is not bound to loopback"
        hint = "let --secureGRPCAddr listen on loopback, or use an issuer of your own (JWT_RULE)"
        raise BadSetting("--secureGRPCAddr", str(secure), why, hint=hint)
    account = tokens.ServiceAccount(options.namespace, options.service_account)
    key = development.development_key(options.state_dir)
    print(
        tokens.development_token(
            key, account, audience=options.audience, ttl=options.ttl, now=time.time()
        )
    )
    return ExitCode.OK


def _complain(error: MeshError) -> None:
    print(f"Error: {error}", file=sys.stderr)
    if error.hint:
        print(f"  {error.hint}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
