# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from agent.status import prometheus
from agent.status.prometheus import ScrapeTarget, scrape_config, target_list
from mesh.errors import BadSetting


@pytest.mark.parametrize(
    ("text", "scraped"),
    [
        ("", ()),
        ('{"scrape":"false","port":"9"}', ()),
        ("{}", (("80", "/metrics"),)),
        ('{"port":"8080","path":"/m"}', (("8080", "/m"),)),
        ('{"targets":[{"port":"1","path":"/a"}]}', (("1", "/a"),)),
        ('{"port":"8","targets":[{"port":"1","path":"/a"}]}', (("8", "/a"),)),
        ('{"targets":[{"port":"1"},{"port":"2","path":"/b"}]}', (("1", "/metrics"), ("2", "/b"))),
    ],
)
def test_what_is_scraped(text: str, scraped: tuple[tuple[str, str], ...]) -> None:
    assert scrape_config(text, status_port=15020).scraped == scraped


@pytest.mark.parametrize(
    "text",
    [
        "no json",
        "[]",
        '{"port": 8080}',
        '{"port":"15020"}',
        '{"targets":{}, "port":"15020"}',
        '{"targets":"x"}',
        '{"targets":["x"]}',
        '{"targets":[{"port":""}]}',
        '{"targets":[{"port":"http"}]}',
        '{"targets":[{"port":"65536"}]}',
        '{"targets":[{"port":"015020"}]}',
        '{"targets":[{"port":"15090"}]}',
        '{"targets":[{"port":"²"}]}',
    ],
)
def test_what_the_peer_refuses_to_start_with(text: str) -> None:
    with pytest.raises(BadSetting) as error:
        scrape_config(text, status_port=15020)
    assert error.value.name == "ISTIO_PROMETHEUS_ANNOTATIONS"


def test_target_list() -> None:
    assert target_list("1:/a, 2") == (ScrapeTarget("1", "/a"), ScrapeTarget("2", "/metrics"))
    with pytest.raises(ValueError, match="names no port"):
        target_list("1,:/b")


@pytest.mark.parametrize(
    ("accept", "app", "envoy"),
    [
        ("", "text/plain;version=0.0.4", "text/plain;version=0.0.4"),
        ("/", "text/plain;version=0.0.4", "text/plain;version=0.0.4"),
        ("*/*", "text/plain;version=0.0.4;q=0.2", "text/plain;version=0.0.4;q=0.2"),
        (
            "application/*",
            "application/openmetrics-text;version=0.0.1;q=0.2",
            "text/plain;version=0.0.4",
        ),
        (
            "application/vnd.google.protobuf;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.1",
            "application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.2",
            "text/plain;q=0.2",
        ),
    ],
)
def test_what_is_asked_for(accept: str, app: str, envoy: str) -> None:
    assert prometheus.accept_for_app(accept) == app
    assert prometheus.accept_for_envoy(accept) == envoy


@pytest.mark.parametrize(
    ("header", "seconds"), [("", 60.0), ("2.5", 2.5), ("0", 60.0), ("-1", 60.0), ("nan", 60.0)]
)
def test_scrape_timeout(header: str, seconds: float) -> None:
    assert prometheus.scrape_timeout(header, 60.0) == seconds


def test_scrape_timeout_that_is_no_number() -> None:
    with pytest.raises(ValueError, match="could not convert"):
        prometheus.scrape_timeout("10s", 60.0)
