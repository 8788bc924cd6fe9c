# SPDX-License-Identifier: Apache-2.0
"""The whole part: real mint child, real TLS to a grpcio CA, grpcio client on the socket."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

import mesh.log
from mesh.clock import SystemClock
from mesh.errors import BadSetting
from mesh.identity import Identity
from sdsserver import SdsPart, build_sds
from sdsserver.options import CaOptions, CertFiles, KeyOptions, Mode, SecretOptions
from sdsserver.pem import check_pair
from sdsserver.trust import merge_roots
from sdsserver.x509 import facts
from tests.support.fakeca import SERVER_NAME, FakeCa
from tests.support.sdsclient import channel, open_stream

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")
TOKEN = "canary.token.of.the.workload"


def options(tmp: Path, fake: FakeCa) -> SecretOptions:
    (tmp / "token").write_text(TOKEN)
    (tmp / "ca-root.pem").write_bytes(fake.ca.certificate)
    return SecretOptions(
        identity=ME,
        ca=CaOptions(
            address=fake.address,
            roots=str(tmp / "ca-root.pem"),
            server_name=SERVER_NAME,
            token=str(tmp / "token"),
        ),
        socket_dir=str(tmp),
        well_known=CertFiles.in_dir(str(tmp / "none")),
        key=KeyOptions(ec_algorithm="ECDSA"),
    )


@asynccontextmanager
async def running(part: SdsPart) -> AsyncIterator[None]:
    async with asyncio.TaskGroup() as group:
        task = group.create_task(part.run())
        try:
            yield
        finally:
            task.cancel()


async def test_from_nothing_to_a_served_certificate(short_tmp: Path) -> None:
    fake = FakeCa()
    async with fake.serve(tls=fake.ca.issue(SERVER_NAME)):
        found = options(short_tmp, fake)
        part = build_sds(found, SystemClock())
        started = time.monotonic()
        async with running(part), asyncio.timeout(60), channel(found.socket) as made:
            await part.ready.wait()
            stream = open_stream(made)
            secrets = await stream.ask("default", "ROOTCA")
            print(f"first secret after {(time.monotonic() - started) * 1000:.0f} ms")
            pair = secrets["default"].tls_certificate
            chain = pair.certificate_chain.inline_bytes
            check_pair(chain, pair.private_key.inline_bytes)
            assert facts(chain).uris == (str(ME),)
            root = secrets["ROOTCA"].validation_context.trusted_ca.inline_bytes
            assert root == merge_roots(fake.ca.certificate)
            assert part.first_secret.is_set()
            assert part.status()["serial"] == f"{facts(chain).serial:x}"
            assert 'istio_agent_cert_expiry_seconds{resource_name="default"} 3' in part.metrics()
            await stream.end()
    assert [seen.token for seen in fake.calls] == [TOKEN]


async def test_rotation_reaches_the_stream(short_tmp: Path) -> None:
    fake = FakeCa(lifetime=4.0)
    async with fake.serve(tls=fake.ca.issue(SERVER_NAME)):
        found = options(short_tmp, fake)
        part = build_sds(found, SystemClock())
        async with running(part), asyncio.timeout(60), channel(found.socket) as made:
            await part.ready.wait()
            stream = open_stream(made)
            serials = set()
            await stream.send(["default"])
            for _ in range(3):
                pair = (await stream.receive())["default"].tls_certificate
                chain = facts(pair.certificate_chain.inline_bytes)
                assert chain.valid_at(time.time())
                serials.add(chain.serial)
                await stream.ack(["default"])
            assert len(serials) == 3


async def test_no_secret_appears_in_logs_errors_or_status(short_tmp: Path) -> None:
    """The canary: run through successes and failures at every level, then search all that was said."""
    said = io.StringIO()
    mesh.log.configure(levels={"all": mesh.log.Level.DEBUG}, stream=said)
    fake = FakeCa(script=[["short chain"]], lifetime=6.0)
    kept: list[bytes] = []
    try:
        async with fake.serve(tls=fake.ca.issue(SERVER_NAME)):
            found = replace(
                options(short_tmp, fake),
                output_dir=str(short_tmp),
                identity_dir=str(short_tmp),
                identity_dir_trusted=True,
                file_deadline=0.3,
            )
            part = build_sds(found, SystemClock())
            async with running(part), asyncio.timeout(60), channel(found.socket) as made:
                await part.first_secret.wait()
                stream = open_stream(made)
                pair = (await stream.ask("default"))["default"].tls_certificate
                kept.append(pair.private_key.inline_bytes)
                kept.append(pair.certificate_chain.inline_bytes)
                (short_tmp / "half.pem").write_bytes(kept[0])
                broken = open_stream(made)
                await broken.send([f"file-root:{short_tmp}/half.pem"])
                said.write(str(await broken.error()))
                said.write(repr(part.status()) + part.metrics())
                said.write(repr(part._manager._pair))
                said.write(repr(await part._manager.secret("default")))
    finally:
        mesh.log.configure()
    text = said.getvalue()
    assert "certificate issued" in text
    assert "BEGIN" not in text
    assert TOKEN not in text
    for content in kept:
        for line in content.decode().splitlines():
            assert line.startswith("-----") or line not in text


async def test_an_identity_survives_a_restart_without_a_ca(short_tmp: Path) -> None:
    fake = FakeCa()
    kept = short_tmp / "memory"
    kept.mkdir()
    async with fake.serve(tls=fake.ca.issue(SERVER_NAME)):
        found = replace(options(short_tmp, fake), identity_dir=str(kept), identity_dir_trusted=True)
        first = build_sds(found, SystemClock())
        async with running(first), asyncio.timeout(60):
            await first.first_secret.wait()
    assert (kept / "pilothouse-identity").stat().st_mode & 0o777 == 0o700
    second = build_sds(found, SystemClock())
    async with running(second), asyncio.timeout(10), channel(found.socket) as made:
        await second.ready.wait()
        stream = open_stream(made)
        assert set(await stream.ask("default", "ROOTCA")) == {"default", "ROOTCA"}
        assert second.status()["serial"] == first.status()["serial"]
        await stream.end()


def test_missing_roots_are_found_before_anything_runs(tmp_path: Path) -> None:
    found = SecretOptions(
        identity=ME, ca=CaOptions(address="127.0.0.1:1", roots=str(tmp_path / "none"))
    )
    with pytest.raises(BadSetting, match="root CA file for the CA does not exist"):
        build_sds(found, SystemClock())
    with pytest.raises(BadSetting, match="CA_ADDR"):
        build_sds(replace(found, ca=None), SystemClock())
    build_sds(replace(found, mode=Mode.FILE_MOUNTED), SystemClock())


def test_an_unsafe_identity_directory_is_said_and_not_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "root.pem").write_text("x")
    found = SecretOptions(
        identity=ME,
        ca=CaOptions(address="127.0.0.1:1", roots=str(tmp_path / "root.pem")),
        identity_dir=str(tmp_path / "missing"),
    )
    build_sds(found, SystemClock())
    assert "identity is not stored" in capsys.readouterr().out


def test_the_resident_part_imports_nothing_heavy() -> None:
    code = "import sys, sdsserver.part, sdsserver.external; print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "sdsserver.service" in found
    assert not {"cryptography", "grpc", "ctypes", "hashlib", "yaml", "tempfile"} & set(found)


def test_the_child_imports_nothing_of_the_server() -> None:
    code = "import sys, sdsserver.mint as m; m.make({'host': 'a'}); print(*sys.modules)"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert "cryptography" in found
    assert not {"asyncio", "google.protobuf", "wire", "mesh"} & set(found)
