# SPDX-License-Identifier: Apache-2.0
"""Wildcards in braces."""

from __future__ import annotations

import pytest

from tests.upstream.generate.made import plain
from upstream.generate.uri_template import is_template, template_permission


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/users/{*}/profile", True),
        ("/files/{**}", True),
        ("/users/*", False),
        ("/users/{id}", False),
        ("*", False),
    ],
)
def test_is_template(path: str, *, expected: bool) -> None:
    assert is_template(path) is expected


def test_envoy_writes_wildcards_without_braces() -> None:
    made = plain(template_permission("/a/{*}/b/{**}"))["uriTemplate"]
    assert made["name"] == "uri-template"
    assert made["typedConfig"]["pathTemplate"] == "/a/*/b/**"
    assert made["typedConfig"]["@type"].endswith(".UriTemplateMatchConfig")
