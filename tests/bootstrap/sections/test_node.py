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


def test_identity_locality_and_metadata_pass_unchanged() -> None:
    metadata = {
        "NAME": "p",
        "ENVOY_STATUS_PORT": 15021,
        "RATIO": 0.5,
        "LABELS": {"a": "b"},
        "N": None,
    }
    node = document(metadata=metadata, region="r", zone="z", sub_zone="s")["node"]
    assert node["metadata"] == metadata
    assert node["locality"] == {"region": "r", "zone": "z", "sub_zone": "s"}
    assert node["cluster"] == "app.ns"


def test_whole_numbers_are_written_without_a_point() -> None:
    assert '"ENVOY_STATUS_PORT": 15021,' in authored(
        inputs_for(metadata={"ENVOY_STATUS_PORT": 15021, "Z": 1})
    )


def test_log_lines_as_text_or_json() -> None:
    text = document()["application_log_config"]["log_format"]
    assert text == {"text_format": "%Y-%m-%dT%T.%fZ\t%l\tenvoy %n %g:%#\t%v\tthread=%t"}
    as_json = document(switches=Switches(log_as_json=True))["application_log_config"]["log_format"]
    assert set(as_json["json_format"]) == {"time", "level", "scope", "msg", "caller", "thread"}
