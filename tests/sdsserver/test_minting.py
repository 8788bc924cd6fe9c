# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest
from cryptography import x509

from mesh.identity import Identity
from sdsserver import minting
from sdsserver.options import KeyOptions
from sdsserver.pem import check_pair
from tests.support.testca import CA

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")


async def test_the_child_makes_a_request_that_a_ca_signs() -> None:
    minted = await minting.mint(ME, KeyOptions(ec_algorithm="ECDSA"))
    check_pair(CA().sign(minted.csr.encode()), minted.key.encode())
    names = x509.load_pem_x509_csr(minted.csr.encode()).extensions.get_extension_for_class(
        x509.SubjectAlternativeName
    )
    assert [str(name.value) for name in names.value] == [str(ME)]


async def test_nothing_of_the_working_directory_is_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit(3)")
    (tmp_path / "cryptography.py").write_text("raise SystemExit(3)")
    monkeypatch.chdir(tmp_path)
    assert (await minting.mint(ME, KeyOptions(ec_algorithm="ECDSA"))).csr


async def test_the_childs_refusal_comes_out() -> None:
    with pytest.raises(minting.MintFailed, match="512 is below the minimum"):
        await minting.mint(ME, KeyOptions(rsa_bits=512))


async def test_a_missing_interpreter_is_an_error_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nonexistent/python")
    with pytest.raises(minting.MintFailed, match="not started"):
        await minting.mint(ME, KeyOptions())


async def test_a_child_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hangs = tmp_path / "hangs"
    hangs.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    with pytest.raises(minting.MintFailed, match="no answer within"):
        await minting.mint(ME, KeyOptions(), deadline=1.0)
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


async def test_a_cancelled_request_leaves_no_child(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hangs = tmp_path / "hangs"
    hangs.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    hangs.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(hangs))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(minting.mint(ME, KeyOptions()))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text().strip():
            await asyncio.sleep(0.01)
        task.cancel()
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.parametrize("answer", [b"", b"[]", b'{"key": "x"}'])
def test_garbage_from_the_child_is_an_error_of_ours(answer: bytes) -> None:
    with pytest.raises(minting.MintFailed, match="unreadable"):
        minting._parse(answer)
