# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from agent.status.grpc_files import files_of


def bootstrap(config: Any, plugin: str = "file_watcher") -> str:
    provider = {"plugin_name": plugin, "config": config}
    return json.dumps({"certificate_providers": {"default": provider}})


def test_the_files_of_a_file_watcher() -> None:
    config = {"certificate_file": "c", "private_key_file": "k", "ca_certificate_file": "r"}
    assert set(files_of(bootstrap(config))) == {"c", "k", "r"}
    assert files_of(bootstrap({"private_key_file": "k"})) == ("k",)


@pytest.mark.parametrize("text", ["{}", bootstrap({}, "other"), bootstrap([])])
def test_others_name_none(text: str) -> None:
    assert files_of(text) == ()


@pytest.mark.parametrize("text", ["", "nope", "[]"])
def test_what_is_no_bootstrap(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        files_of(text)
