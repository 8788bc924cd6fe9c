# SPDX-License-Identifier: Apache-2.0
"""What a platform tells about a workload, and how it is asked. Pure; shared by the three clouds and the shell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from mesh.errors import MeshError


class NoAnswer(MeshError):
    """A metadata server did not answer, or not with what was asked for. Always survivable."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(f"no answer from {url}: {why}")
        self.url = url
        self.why = why


class Answer(NamedTuple):
    """A response with its lower-case header names."""

    text: str
    headers: Mapping[str, str]


class Fetch(Protocol):
    """One HTTP exchange within ``timeout`` seconds. Raises NoAnswer; ``any_status`` takes errors as answers."""

    def __call__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        timeout: float = 1.0,
        any_status: bool = False,
    ) -> Answer: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """A platform's answer."""

    metadata: Mapping[str, str] = field(default_factory=dict)
    region: str = ""
    zone: str = ""
    is_kubernetes: bool = True
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the instance; they count off Kubernetes only."""
