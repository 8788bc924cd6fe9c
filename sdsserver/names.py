# SPDX-License-Identifier: Apache-2.0
"""Names of secrets, as Envoy asks for them. Pure. Source: spec/agent.md 7.3, 7.4.

``default`` and ``ROOTCA`` are the workload's own; ``file-cert:<chain>~<key>`` and ``file-root:<path>``
name files. A malformed file name is not a file name: it is treated as the workload's certificate.
"""

from __future__ import annotations

from typing import NamedTuple, Self

WORKLOAD = "default"
ROOT = "ROOTCA"
SYSTEM_ROOT = "file-root:system"

_CERT_PREFIX = "file-cert:"
_ROOT_PREFIX = "file-root:"
_SEPARATOR = "~"

SYSTEM_BUNDLES = (
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/cacert.pem",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/cert.pem",
    "/usr/local/etc/ssl/cert.pem",
    "/etc/ssl/certs/ca-certificates",
)
"""Where distributions keep the machine's roots, in the order of preference."""


class FileName(NamedTuple):
    """The files that a secret's name stands for: a pair, or a root."""

    chain: str = ""
    key: str = ""
    root: str = ""

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """None when ``name`` does not name files."""
        if name.startswith(_CERT_PREFIX):
            parts = name.removeprefix(_CERT_PREFIX).split(_SEPARATOR)
            return cls(chain=parts[0], key=parts[1]) if len(parts) == 2 else None
        if name.startswith(_ROOT_PREFIX):
            root = name.removeprefix(_ROOT_PREFIX)
            return None if _SEPARATOR in root else cls(root=root)
        return None

    @property
    def is_root(self) -> bool:
        return bool(self.root)

    @property
    def is_pair(self) -> bool:
        return bool(self.chain and self.key)

    @property
    def pair_name(self) -> str:
        """The resource name of the pair; empty when it is not one."""
        return f"{_CERT_PREFIX}{self.chain}{_SEPARATOR}{self.key}" if self.is_pair else ""

    @property
    def root_name(self) -> str:
        """The resource name of the root; empty when it is not one."""
        return f"{_ROOT_PREFIX}{self.root}" if self.is_root else ""
