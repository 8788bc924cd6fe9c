# SPDX-License-Identifier: Apache-2.0
"""The authority's files: made once, read back, plugged, damaged."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from mesh.errors import BadSetting
from tests.upstream.authority import NOW, plug, root
from tests.upstream.ca.intermediate import under
from upstream.ca import material
from upstream.ca.authority import pem
from upstream.options import CaOptions

DAY = 86400.0


@pytest.fixture
def options(tmp_path: Path) -> CaOptions:
    return CaOptions(state_dir=str(tmp_path / "state"), plugged_dir=str(tmp_path / "cacerts"))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_made_once_and_private(options: CaOptions) -> None:
    first = material.load(options, organization="cluster.local", now=NOW)
    again = material.load(options, organization="cluster.local", now=NOW)
    assert again.certificate == first.certificate
    state = Path(options.state_dir)
    assert mode(state) == 0o700
    assert mode(state / "ca-key.pem") == 0o600
    assert mode(state / "root-cert.pem") == 0o644
    assert (state / "root-cert.pem").read_text() == first.roots_pem
    assert "O=cluster.local" in first.certificate.subject.rfc4514_string()


def test_old_root_is_renewed_under_its_key(options: CaOptions) -> None:
    first = material.load(options, organization="x", now=NOW)
    later = material.load(options, organization="x", now=NOW + 3000 * DAY)
    assert later.certificate != first.certificate
    assert later.key.public_key() == first.key.public_key()


def test_plugged(options: CaOptions) -> None:
    bundle = under(root())
    plug(Path(options.plugged_dir), bundle)
    found = material.load(options, organization="x", now=NOW)
    assert found.certificate == bundle.certificate
    assert not found.self_signed
    assert (Path(options.state_dir) / "root-cert.pem").read_text() == bundle.roots_pem
    assert not (Path(options.state_dir) / "ca-key.pem").exists()


def test_incomplete_bundle_is_refused(options: CaOptions) -> None:
    directory = Path(options.plugged_dir)
    plug(directory, root())
    (directory / "cert-chain.pem").unlink()
    with pytest.raises(BadSetting, match=r"incomplete signing CA bundle: cert-chain\.pem missing"):
        material.load(options, organization="x", now=NOW)


def test_bundle_of_strangers_is_refused(options: CaOptions) -> None:
    plug(Path(options.plugged_dir), root())
    (Path(options.plugged_dir) / "root-cert.pem").write_text(pem(root().certificate))
    with pytest.raises(BadSetting, match="does not chain"):
        material.load(options, organization="x", now=NOW)


def test_damaged_key_is_not_replaced(options: CaOptions) -> None:
    material.load(options, organization="x", now=NOW)
    key = Path(options.state_dir) / "ca-key.pem"
    key.write_text("damaged")
    with pytest.raises(BadSetting, match="unencrypted PEM key"):
        material.load(options, organization="x", now=NOW)
    assert key.read_text() == "damaged"
