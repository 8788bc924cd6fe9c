# SPDX-License-Identifier: Apache-2.0
"""The development issuer's key: on disk in the state directory, shared by server and ``token``.

Light, for a command that only prints a token. Source: spec/upstream.md 2.9.
"""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import ec

from mesh.errors import BadSetting
from upstream import storage, tokens

KEY_FILE = "development-issuer-key.pem"


def development_key(state_dir: str) -> ec.EllipticCurvePrivateKey:
    """The development issuer's key, made on first use. Raises BadSetting."""
    path = storage.private_directory(state_dir, setting="--state-dir") / KEY_FILE
    if not path.exists():
        storage.write_new(path, tokens.new_development_key(), mode=storage.PRIVATE)
    try:
        return tokens.development_key(path.read_bytes())
    except (OSError, ValueError) as error:
        hint = f"remove {path} to have a new one made; tokens of the old one are then refused"
        raise BadSetting("--state-dir", state_dir, f"{KEY_FILE}: {error}", hint=hint) from error
