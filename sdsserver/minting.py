# SPDX-License-Identifier: Apache-2.0
"""Starts the mint child and takes its answer. The key travels over a pipe and stays in memory.

Source: spec/agent.md 7.5; why a child: ADR on heavy imports.
"""

from __future__ import annotations

import asyncio
import json
import sys
from asyncio import subprocess
from typing import NamedTuple

from mesh.errors import MeshError
from mesh.identity import Identity
from sdsserver.options import KeyOptions

DEADLINE = 60.0
"""Seconds for one key: RSA 4096 on a throttled core takes a few."""


class MintFailed(MeshError):
    """No key and certificate request came back."""

    hint = "check WORKLOAD_RSA_KEY_SIZE and ECC_SIGNATURE_ALGORITHM, and the memory limit"

    def __init__(self, why: str) -> None:
        super().__init__(f"making a certificate request failed: {why}")


class Minted(NamedTuple):
    """A fresh key and the request that it signed, both PEM."""

    key: str
    csr: str

    def __repr__(self) -> str:
        return "<Minted>"


async def mint(identity: Identity, options: KeyOptions, *, deadline: float = DEADLINE) -> Minted:
    """A fresh key and CSR for ``identity``. Raises MintFailed."""
    request = {
        "host": str(identity),
        "rsa_bits": options.rsa_bits,
        "ec_algorithm": options.ec_algorithm,
        "curve": options.curve.value,
        "pkcs8": options.pkcs8,
    }
    try:
        async with asyncio.timeout(deadline):
            answer = await _run(json.dumps(request).encode())
    except TimeoutError:
        raise MintFailed(f"no answer within {deadline:g} s") from None
    except OSError as error:
        raise MintFailed(f"child not started: {error.strerror}") from error
    return _parse(answer)


async def _run(request: bytes) -> bytes:
    # -P: the working directory belongs to the workload, so nothing may be imported from it
    child = await subprocess.create_subprocess_exec(
        sys.executable,
        "-P",
        "-m",
        "sdsserver.mint",
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,  # a traceback could quote what it worked on
    )
    try:
        answer, _ = await child.communicate(request)
    finally:
        if child.returncode is None:
            child.kill()
            await child.wait()  # no deadline: it was killed
    if child.returncode:
        raise MintFailed(f"child ended with {child.returncode}")
    return answer


def _parse(answer: bytes) -> Minted:
    try:
        fields = json.loads(answer)
        if "error" in fields:
            raise MintFailed(fields["error"])
        return Minted(fields["key"], fields["csr"])
    except (ValueError, KeyError, TypeError):
        raise MintFailed("unreadable answer of the child") from None
