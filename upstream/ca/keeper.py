# SPDX-License-Identifier: Apache-2.0
"""Keeps the authority and our own serving certificate fresh while the process runs. Source: spec/upstream.md 1.3, 4.3.

New handshakes use the new certificate at once; connections that stand are not touched. What cannot be used
is said and not taken: the last good stays.
"""

from __future__ import annotations

import os
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from mesh import log
from mesh.clock import Clock
from mesh.errors import BadSetting
from upstream.ca import material
from upstream.ca.authority import Authority, key_pem, serving
from upstream.options import CaOptions, ServingOptions
from wire.h2io.tls import server_context

LOOK_EVERY = 2.0
"""How often files and lives are looked at, in seconds."""

Stamps = tuple[tuple[str, int, int, int], ...]
"""Name, inode, size and time of each watched file: what must differ for another look."""

_log = log.get("ca")


class Keeper:
    """The authority in use, and the TLS context that presents our certificate."""

    def __init__(
        self, ca: CaOptions, tls: ServingOptions, *, organization: str, clock: Clock
    ) -> None:
        self._ca = ca
        self._tls = tls
        self._organization = organization
        self._clock = clock
        self.authority = material.load(ca, organization=organization, now=clock.now())
        self._ca_stamps = self._plugged_stamps()
        self._tls_stamps = self._serving_stamps()
        self._serving_expires = 0.0
        self._serving_born = 0.0
        self.context = self._new_context()

    async def run(self) -> None:
        """Look at files and lives for as long as the process lives."""
        while True:
            await self._clock.sleep(LOOK_EVERY)
            self.refresh()

    def refresh(self) -> None:
        """Take up what has changed on disk or grown old. Never raises for what it finds there."""
        try:
            changed = self._refresh_authority()
            self._refresh_serving(again=changed)
        except (BadSetting, OSError, ValueError) as error:
            _log.error("new certificates refused, the old ones stay", error=error)

    def _refresh_authority(self) -> bool:
        stamps = self._plugged_stamps()
        aged = self.authority.self_signed and material.aged(self.authority, now=self._clock.now())
        if stamps == self._ca_stamps and not aged:
            return False
        self._ca_stamps = stamps
        fresh = material.load(self._ca, organization=self._organization, now=self._clock.now())
        if not aged and not _trusts(self.authority, fresh):
            # peer: without multiroot, changing roots would break every workload at once.
            why = "the root certificates changed; restart to take them up"
            material.publish_roots(Path(self._ca.state_dir), self.authority)
            raise BadSetting("ROOT_CA_DIR", self._ca.plugged_dir, why)
        self.authority = fresh
        _log.info("certificate authority renewed", expires=fresh.expires)
        return True

    def _refresh_serving(self, *, again: bool) -> None:
        stamps = self._serving_stamps()
        old = self._clock.now() > self._serving_expires - 0.2 * (
            self._serving_expires - self._serving_born
        )
        if stamps == self._tls_stamps and not again and not (old and not self._tls.from_files):
            return
        self._tls_stamps = stamps
        chain, key = self._material()
        load_chain(self.context, chain, key)
        self.context.load_verify_locations(cadata=self._client_roots().decode("ascii"))
        self._note_life(chain)
        _log.info("serving certificate renewed")

    def _new_context(self) -> ssl.SSLContext:
        chain, key = self._material()
        self._note_life(chain)
        return server_context(chain=chain, key=key, client_roots=self._client_roots())

    def _material(self) -> tuple[bytes, bytes]:
        """Chain and key for our TLS port."""
        if self._tls.from_files:
            return Path(self._tls.certificate).read_bytes(), Path(self._tls.key).read_bytes()
        key = ec.generate_private_key(ec.SECP256R1())
        chain = serving(
            self.authority,
            key.public_key(),
            self._tls.names,
            life=self._ca.root_ttl,
            now=self._clock.now(),
        )
        return chain.encode("ascii"), key_pem(key)

    def _client_roots(self) -> bytes:
        """Whose client certificates are verified: our own authority's, and those of ``--caCertFile``."""
        more = Path(self._tls.roots).read_bytes() if self._tls.roots else b""
        return self.authority.roots_pem.encode("ascii") + b"\n" + more

    def _note_life(self, chain: bytes) -> None:
        leaf = x509.load_pem_x509_certificates(chain)[0]
        self._serving_born = leaf.not_valid_before_utc.timestamp()
        self._serving_expires = leaf.not_valid_after_utc.timestamp()

    def _plugged_stamps(self) -> Stamps:
        return _stamps([f"{self._ca.plugged_dir}/{name}" for name in material.PLUGGED])

    def _serving_stamps(self) -> Stamps:
        files = (self._tls.certificate, self._tls.key, self._tls.roots)
        return _stamps([name for name in files if name])


def load_chain(context: ssl.SSLContext, chain: bytes, key: bytes) -> None:
    """Let new handshakes present ``chain``. The key goes through memory that has no name on disk."""
    descriptor = os.memfd_create("serving", os.MFD_CLOEXEC)
    try:
        with os.fdopen(os.dup(descriptor), "wb") as file:
            file.write(chain.rstrip() + b"\n" + key)
        context.load_cert_chain(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)


def _trusts(old: Authority, new: Authority) -> bool:
    return old.roots_pem.strip() == new.roots_pem.strip()


def _stamps(paths: list[str]) -> Stamps:
    found = []
    for path in paths:
        try:
            about = os.stat(path)
        except OSError:
            continue
        found.append((path, about.st_ino, about.st_size, about.st_mtime_ns))
    return tuple(found)
