# SPDX-License-Identifier: Apache-2.0
"""Where the authority's key lives: a plugged bundle, else our own in the state directory.

Source: spec/upstream.md 4.3.
"""

from __future__ import annotations

from pathlib import Path

from mesh import log
from mesh.errors import BadSetting
from upstream import storage
from upstream.ca.authority import (
    Authority,
    BadBundle,
    due_for_renewal,
    key_pem,
    pem,
    renewed,
    self_signed,
)
from upstream.options import CaOptions

PLUGGED = ("ca-cert.pem", "ca-key.pem", "cert-chain.pem", "root-cert.pem")
OWN_CERT = "ca-cert.pem"
OWN_KEY = "ca-key.pem"
ROOT_CERT = "root-cert.pem"

_log = log.get("ca")


def load(options: CaOptions, *, organization: str, now: float) -> Authority:
    """The authority of this process, made on the first start. Raises BadSetting."""
    state = storage.private_directory(options.state_dir, setting="--state-dir")
    authority = _plugged(Path(options.plugged_dir)) or _own(state, options, organization, now)
    publish_roots(state, authority)
    return authority


def publish_roots(state: Path, authority: Authority) -> None:
    """Write what agents mount as ``/var/run/secrets/istio/root-cert.pem``."""
    path = state / ROOT_CERT
    content = authority.roots_pem.encode("ascii")
    if not path.exists() or path.read_bytes() != content:
        storage.write(path, content, mode=storage.PUBLIC)


def _plugged(directory: Path) -> Authority | None:
    present = [name for name in PLUGGED if (directory / name).exists()]
    if not present:
        return None
    missing = [name for name in PLUGGED if name not in present]
    if missing:
        why = f"incomplete signing CA bundle: {', '.join(missing)} missing"
        hint = "put all four files there, or none for a self-signed CA"
        raise BadSetting("ROOT_CA_DIR", str(directory), why, hint=hint)
    try:
        parts = {name: (directory / name).read_bytes() for name in PLUGGED}
        authority = Authority.from_pem(
            certificate=parts["ca-cert.pem"],
            key=parts["ca-key.pem"],
            chain=parts["cert-chain.pem"],
            roots=parts["root-cert.pem"],
            self_signed=False,
        )
    except OSError as error:
        raise BadSetting("ROOT_CA_DIR", str(directory), str(error)) from error
    except BadBundle as error:
        raise BadSetting("ROOT_CA_DIR", str(directory), str(error)) from error
    _log.info("using plugged certificate authority", dir=directory, expires=authority.expires)
    return authority


def _own(state: Path, options: CaOptions, organization: str, now: float) -> Authority:
    if not (state / OWN_KEY).exists():
        return _create(state, options, organization, now)
    try:
        certificate = (state / OWN_CERT).read_bytes()
        authority = Authority.from_pem(
            certificate=certificate,
            key=(state / OWN_KEY).read_bytes(),
            chain=b"",
            roots=certificate,
            self_signed=True,
        )
    except (OSError, BadBundle) as error:
        hint = "put the files back from a copy; or remove both, and every agent needs the new root"
        raise BadSetting("--state-dir", str(state), str(error), hint=hint) from error
    if due_for_renewal(authority, now=now):
        authority = renewed(authority, organization=organization, life=options.root_ttl, now=now)
        storage.write(state / OWN_CERT, pem(authority.certificate).encode(), mode=storage.PRIVATE)
        _log.info("root certificate renewed under its own key", expires=authority.expires)
    return authority


def _create(state: Path, options: CaOptions, organization: str, now: float) -> Authority:
    fresh = self_signed(
        organization=organization, life=options.root_ttl, rsa_bits=options.rsa_bits, now=now
    )
    # The certificate first: a key without its certificate would look like damage on the next start.
    storage.write(state / OWN_CERT, pem(fresh.certificate).encode(), mode=storage.PRIVATE)
    storage.write(state / OWN_KEY, key_pem(fresh.key), mode=storage.PRIVATE)
    _log.info("new self-signed certificate authority", dir=state, expires=fresh.expires)
    return fresh


def aged(authority: Authority, *, now: float) -> bool:
    """Whether our own root is to be renewed under its key."""
    return due_for_renewal(authority, now=now)
