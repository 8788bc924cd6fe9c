# SPDX-License-Identifier: Apache-2.0
"""ServiceEntries and WorkloadEntries that are refused, and for which field."""

from __future__ import annotations

import pytest

from tests.upstream.config.said import faults
from upstream.config import Kind

WEB = "ports: [{number: 80, name: http, protocol: HTTP}]"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        (f"{{{WEB}}}", "hosts"),
        (f"{{hosts: ['*'], {WEB}}}", "hosts[0]"),
        (f"{{hosts: [a.test], addresses: [x], {WEB}}}", "addresses[0]"),
        (
            f"{{hosts: [a.test], resolution: DNS, addresses: [10.0.0.0/8], {WEB}}}",
            "addresses[0]",
        ),
        ("{hosts: [a.test], ports: [{number: 0, name: http}]}", "ports[0].number"),
        ("{hosts: [a.test], ports: [{number: 80}]}", "ports[0].name"),
        ("{hosts: [a.test], ports: [{number: 80, name: 'a b'}]}", "ports[0].name"),
        (
            "{hosts: [a.test], ports: [{number: 80, name: a}, {number: 81, name: a}]}",
            "ports[1].name",
        ),
        (
            "{hosts: [a.test], ports: [{number: 80, name: a}, {number: 80, name: b}]}",
            "ports[1].number",
        ),
        (
            "{hosts: [a.test], ports: [{number: 80, name: a, targetPort: 70000}]}",
            "ports[0].targetPort",
        ),
        (
            "{hosts: [a.test], ports: [{number: 80, name: a, protocol: NOSUCH}]}",
            "ports[0].protocol",
        ),
        (
            "{hosts: [a.test, b.test], resolution: STATIC, ports: [{number: 1, name: a, protocol: TCP}]}",
            "ports[0].protocol",
        ),
        (
            f"{{hosts: [a.test], workloadSelector: {{labels: {{a: b}}}}, endpoints: [{{address: 1.1.1.1}}], resolution: STATIC, {WEB}}}",
            "workloadSelector",
        ),
        (f"{{hosts: [a.test], endpoints: [{{address: 1.1.1.1}}], {WEB}}}", "endpoints"),
        (
            f"{{hosts: [a.test], resolution: DNS_ROUND_ROBIN, endpoints: [{{address: a}}, {{address: b}}], {WEB}}}",
            "endpoints",
        ),
        (f"{{hosts: ['*.a.test'], resolution: DNS, {WEB}}}", "hosts[0]"),
        (f"{{hosts: [a.test], resolution: DYNAMIC_DNS, {WEB}}}", "hosts[0]"),
        (
            f"{{hosts: [a.test], resolution: STATIC, endpoints: [{{address: a.test}}], {WEB}}}",
            "endpoints[0].address",
        ),
        (
            f"{{hosts: [a.test], resolution: STATIC, endpoints: [{{address: 'unix://x'}}], {WEB}}}",
            "endpoints[0].address",
        ),
        (
            f"{{hosts: [a.test], resolution: DNS, endpoints: [{{address: 'unix:///x'}}], {WEB}}}",
            "endpoints[0].address",
        ),
        (
            f"{{hosts: [a.test], resolution: STATIC, endpoints: [{{address: 1.1.1.1, ports: {{web: 1}}}}], {WEB}}}",
            "endpoints[0].ports[web]",
        ),
        (f"{{hosts: [a.test], exportTo: ['*', a], {WEB}}}", "exportTo"),
    ],
)
def test_service_entry(spec: str, field: str) -> None:
    assert field in faults(Kind.SERVICE_ENTRY, spec)


@pytest.mark.parametrize(
    "spec",
    [
        f"{{hosts: [a.test], {WEB}}}",
        "{hosts: [a.test, b.test], ports: [{number: 1, name: a, protocol: TCP}]}",
        f"{{hosts: ['*.a.test'], resolution: DYNAMIC_DNS, {WEB}}}",
        f"{{hosts: ['*.a.test'], resolution: DNS, endpoints: [{{address: a.test}}], {WEB}}}",
        f"{{hosts: [a.test], resolution: STATIC, endpoints: [{{address: 'unix://@x'}}], {WEB}}}",
        f"{{hosts: [a.test], resolution: STATIC, addresses: [10.0.0.0/8], {WEB}}}",
        "{hosts: [a.test], ports: [{number: 80, name: detected}]}",
        f"{{hosts: [a.test], resolution: STATIC, endpoints: [{{network: n}}], {WEB}}}",
    ],
)
def test_good_service_entry(spec: str) -> None:
    assert faults(Kind.SERVICE_ENTRY, spec) == {}


@pytest.mark.parametrize(
    ("spec", "fields"),
    [
        ("{address: 1.1.1.1, ports: {http: 80}}", set()),
        ("{address: a.test}", set()),
        ("{network: n}", set()),
        ("{address: 'unix:///x'}", set()),
        ("{}", {"address"}),
        ("{address: 'a.test:80'}", {"address"}),
        ("{address: 'unix://x'}", {"address"}),
        ("{address: 'unix:///x', ports: {http: 80}}", {"ports"}),
        ("{address: 1.1.1.1, ports: {'@': 80}}", {"ports[@]"}),
        ("{address: 1.1.1.1, ports: {http: 0}}", {"ports[http]"}),
    ],
)
def test_workload_entry(spec: str, fields: set[str]) -> None:
    assert set(faults(Kind.WORKLOAD_ENTRY, spec)) == fields
