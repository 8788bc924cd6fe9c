# SPDX-License-Identifier: Apache-2.0
"""Who a workload is: SPIFFE ids of the form Istio uses. Pure. Source: spec/agent.md 7.5, upstream.md 4.4."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

SCHEME = "spiffe://"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """One service account of one namespace of one trust domain."""

    trust_domain: str
    namespace: str
    service_account: str

    @classmethod
    def parse(cls, uri: str) -> Self:
        """The identity in ``spiffe://<domain>/ns/<namespace>/sa/<account>``.

        Raises ValueError for any other shape.
        """
        parts = uri.removeprefix(SCHEME).split("/")
        if not uri.startswith(SCHEME) or len(parts) != 5 or parts[1] != "ns" or parts[3] != "sa":
            raise ValueError(f"{uri!r} is not spiffe://<trust domain>/ns/<namespace>/sa/<account>")
        return cls(trust_domain=parts[0], namespace=parts[2], service_account=parts[4])

    def __str__(self) -> str:
        return f"{SCHEME}{self.trust_domain}/ns/{self.namespace}/sa/{self.service_account}"
