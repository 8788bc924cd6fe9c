# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from iptables import host
from mesh.errors import CaptureFailed


def test_nameservers_as_written(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text(
        "# none\nsearch a b\nnameserver 10.0.0.10\nnameserver ::127.0.0.53 # here\nnameserver\n"
    )
    assert host.read_nameservers(file) == (("10.0.0.10", "::127.0.0.53"), "")


def test_an_unreadable_file_is_a_fact(tmp_path: Path) -> None:
    servers, why = host.read_nameservers(tmp_path / "absent")
    assert servers == ()
    assert "No such file" in why


def test_users() -> None:
    assert host.user_id("root") == "0"
    assert host.user_id("nobody-of-that-name") is None


def test_facts() -> None:
    found = host.facts({"ENVOY_USER": "root"}, nameservers=False)
    assert "127.0.0.1" in found.addresses
    assert found.envoy_uid == "0"
    assert not found.nameservers


def test_a_namespace_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(CaptureFailed, match="No such file"):
        host.enter_network(str(tmp_path / "absent"))
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(CaptureFailed, match="network namespace"):
        host.enter_network(str(file))
