# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import socket
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from mesh.errors import BadSetting
from mesh.identity import Identity
from sdsserver import settle
from sdsserver.options import CertFiles, Mode, SecretOptions
from tests.support.testca import CA

ME = Identity(trust_domain="cluster.local", namespace="a", service_account="b")


def options(tmp: Path, **more: Any) -> SecretOptions:
    return SecretOptions(
        **{
            "identity": ME,
            "ca": None,
            "socket_dir": str(tmp),
            "files_socket": str(tmp / "files-socket"),
            "workload_files": CertFiles.in_dir(str(tmp / "workload")),
            **more,
        }
    )


async def test_nothing_there_means_we_serve(short_tmp: Path) -> None:
    found = await settle(options(short_tmp))
    assert found.mode is Mode.FULL
    assert found.socket == f"{short_tmp}/socket"


@pytest.mark.parametrize("name", ["socket", "spire.sock"])
async def test_a_server_that_answers_does_it_instead(short_tmp: Path, name: str) -> None:
    server = grpc.aio.server()
    server.add_insecure_port(f"unix:{short_tmp}/{name}")
    await server.start()
    try:
        found = await settle(options(short_tmp, socket_name=name))
    finally:
        await server.stop(None)
    assert found.mode is Mode.FILES_ONLY
    assert found.socket == f"{short_tmp}/files-socket"


def leave_dead_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))


async def test_a_dead_socket_is_removed(short_tmp: Path) -> None:
    leave_dead_socket(short_tmp / "socket")
    assert (await settle(options(short_tmp))).mode is Mode.FULL
    assert not (short_tmp / "socket").exists()


async def test_a_regular_file_is_left_for_the_listener(short_tmp: Path) -> None:
    (short_tmp / "socket").write_text("")
    assert (await settle(options(short_tmp))).mode is Mode.FULL
    assert (short_tmp / "socket").exists()


async def test_another_name_must_answer(short_tmp: Path) -> None:
    leave_dead_socket(short_tmp / "spire.sock")
    with pytest.raises(BadSetting, match="non-default SDS socket path"):
        await settle(options(short_tmp, socket_name="spire.sock"))


@pytest.mark.parametrize("name", ["a/b", "/abs", "../socket"])
async def test_the_name_is_a_bare_file_name(short_tmp: Path, name: str) -> None:
    with pytest.raises(BadSetting, match="without a directory"):
        await settle(options(short_tmp, socket_name=name))


async def test_workload_identity_files_bring_the_certificate(short_tmp: Path) -> None:
    CA().issue(str(ME)).write(short_tmp / "workload")
    found = await settle(options(short_tmp))
    assert found.mode is Mode.FILE_MOUNTED
    assert found.well_known == found.workload_files
    (short_tmp / "workload" / "key.pem").unlink()
    assert (await settle(options(short_tmp))).mode is Mode.FULL
