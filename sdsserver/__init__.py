# SPDX-License-Identifier: Apache-2.0
"""The secret room: key, certificate and roots of the workload, served to Envoy on a unix socket.

May import ``wire`` and ``mesh``; ``cryptography`` only in ``sdsserver.mint``, a short-lived child.
Names are resolved on first use, so that the child does not import the server.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdsserver.external import settle
    from sdsserver.options import CaOptions, KeyOptions, SecretOptions
    from sdsserver.part import SdsPart, build_sds

__all__ = ["CaOptions", "KeyOptions", "SdsPart", "SecretOptions", "build_sds", "settle"]

_HOMES = {
    "CaOptions": "options",
    "KeyOptions": "options",
    "SdsPart": "part",
    "SecretOptions": "options",
    "build_sds": "part",
    "settle": "external",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
