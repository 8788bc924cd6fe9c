# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from bootstrap.inputs import Switches
from tests.support.bootstrap import authored, inputs_for

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


def document(**fields: Any) -> dict[str, Any]:
    return dict(json.loads(authored(inputs_for(**fields))))


def flags(**fields: Any) -> dict[str, Any]:
    layers = document(**fields)["layered_runtime"]["layers"]
    assert layers[1] == {"name": "admin", "admin_layer": {}}
    return dict(layers[0]["static_layer"])


def test_runtime_values_replace_remove_and_add() -> None:
    values = {
        "envoy.reloadable_features.http_reject_path_with_fragment": "true",
        "envoy.reloadable_features.fixed_heap_use_allocated": "",
        "re2.max_program_size.error_level": "100",
        "mine": "x",
    }
    found = flags(proxy_config={"runtimeValues": values})
    assert found["envoy.reloadable_features.http_reject_path_with_fragment"] is True
    assert "envoy.reloadable_features.fixed_heap_use_allocated" not in found
    assert found["re2.max_program_size.error_level"] == "100"
    assert found["mine"] == "x"


def test_switches_that_are_flags() -> None:
    fragment = "envoy.reloadable_features.http_strip_fragment_from_path_unsafe_if_disabled"
    fips = "envoy.reloadable_features.google_grpc_disable_tls_13"
    assert not {fragment, fips} & set(flags())
    found = flags(switches=Switches(strip_fragment=False, compliance_policy="fips-140-2"))
    assert found[fragment] == "false"
    assert found[fips] is True
    assert fips not in flags(switches=Switches(compliance_policy="pqc"))


def test_admin_listens_on_loopback() -> None:
    found = document(instance_ips=("fd00::1",), proxy_config={"proxyAdminPort": 15500})["admin"]
    assert found["address"]["socket_address"] == {"address": "::1", "port_value": 15500}
    assert found["access_log"][0]["typed_config"]["path"] == "/dev/null"
