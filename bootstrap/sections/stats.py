# SPDX-License-Identifier: Apache-2.0
"""Which statistics Envoy keeps, how their names become tags, how often they are flushed. Source: spec/agent.md 2.5.

Annotations of the pod win over ProxyConfig; a broken annotation is a warning, never a refusal.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import timedelta

from envoy_data_plane.envoy.config.metrics.v3 import (
    HistogramBucketSettings,
    StatsConfig,
    StatsMatcher,
    TagSpecifier,
)
from envoy_data_plane.envoy.type.matcher.v3 import (
    ListStringMatcher,
    RegexMatcher,
    StringMatcher,
)

from bootstrap.inputs import BootstrapInputs
from mesh import durations

_ANNOTATION = "sidecar.istio.io/"
_POD_IP = "{pod_ip}"
_DEFAULT_FLUSH = 5.0

_REQUIRED_PREFIXES = ("cluster_manager", "listener_manager", "server", "cluster.xds-grpc", "wasm")
_REQUIRED_SUFFIXES = ("rbac.allowed", "rbac.denied", "shadow_allowed", "shadow_denied")
_EXIT_SUFFIX = "downstream_cx_active"
"""Asked by the drain, which waits for the last connection."""
_REQUIRED_REGEXPS = (r"vhost\..*\.route\..*",)

_TAGS_BEFORE = (
    ("cluster_name", r"^cluster(\.(.+);)"),
    (
        "http_conn_manager_prefix",
        r"^http\.(((?:[_.[:digit:]\w]*|[_\[\]aAbBcCdDeEfF[:digit:]\w\:]*));\.)",
    ),
    ("thread_name", r"^server(\.(.+))\.watchdog"),
    ("tcp_prefix", r"^tcp\.((.*?)\.)\w+?$"),
    ("response_code", r"_rq(_(\d{3}))$"),
    ("response_code_class", r"_rq(_(\dxx))$"),
    (
        "http_conn_manager_listener_prefix",
        r"^listener(?=\.).*?\.http\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    ),
    (
        "listener_address",
        r"^listener\.(((?:[_.[:digit:]]*|[_\[\]aAbBcCdDeEfF[:digit:]]*))\.)",
    ),
    (
        "mongo_prefix",
        r"^mongo\.(.+?)\.(collection|cmd|cx_|op_|delays_|decoding_)(.*?)$",
    ),
)
_TAGS_AFTER = (
    ("cache", r"(cache\.(.+?)\.)"),
    ("component", r"(component\.(.+?)\.)"),
    ("tag", r"(tag\.(.+?);\.)"),
    ("wasm_filter", r"(wasm_filter\.(.+?)\.)"),
    ("authz_enforce_result", r"rbac(\.(allowed|denied))"),
    ("authz_dry_run_action", r"(\.istio_dry_run_(allow|deny)_)"),
    ("authz_dry_run_result", r"(\.shadow_(allowed|denied))"),
)


def stats_config(
    inputs: BootstrapInputs, warnings: list[str], *, metadata_discovery: bool
) -> StatsConfig:
    """Tags in the peer's order, and the list of what is kept."""
    extra = tuple((tag, rf"({tag}=\.=(.*?);\.;)") for tag in _extra_tags(inputs))
    patterns = _patterns(inputs, metadata_discovery=metadata_discovery)
    return StatsConfig(
        use_all_default_tags=False,
        stats_tags=[
            TagSpecifier(tag_name=name, regex=regex)
            for name, regex in (*_TAGS_BEFORE, *extra, *_TAGS_AFTER)
        ],
        histogram_bucket_settings=_histogram_buckets(inputs, warnings),
        stats_matcher=StatsMatcher(inclusion_list=ListStringMatcher(patterns=patterns)),
    )


def intervals(
    inputs: BootstrapInputs, warnings: list[str]
) -> tuple[timedelta | None, timedelta | None]:
    """Flush and eviction interval; the second must be a whole multiple of the first."""
    flush = _interval(inputs, "statsFlushInterval", warnings)
    evict = _interval(inputs, "statsEvictionInterval", warnings)
    base = flush or _DEFAULT_FLUSH
    if evict and (evict / base) != int(evict / base):
        warnings.append(
            f"annotation {_ANNOTATION}statsEvictionInterval: {evict}s is not a multiple "
            f"of the flush interval {base}s: ignored"
        )
        evict = None
    return _delta(flush), _delta(evict)


def _delta(seconds: float | None) -> timedelta | None:
    return timedelta(seconds=seconds) if seconds else None


def _interval(inputs: BootstrapInputs, name: str, warnings: list[str]) -> float | None:
    text = inputs.annotations.get(_ANNOTATION + name)
    if not text:
        return None
    try:
        seconds = durations.parse(text)
    except ValueError as error:
        warnings.append(f"annotation {_ANNOTATION}{name}: {error}: ignored")
        return None
    if seconds <= 0:
        warnings.append(f"annotation {_ANNOTATION}{name}: {text} is not positive: ignored")
        return None
    return seconds


def _extra_tags(inputs: BootstrapInputs) -> list[str]:
    annotated = inputs.annotations.get(f"{_ANNOTATION}extraStatTags", "")
    configured = inputs.proxy_config.get("extraStatTags") or []
    return [tag for tag in dict.fromkeys([*configured, *annotated.split(",")]) if tag]


def _histogram_buckets(
    inputs: BootstrapInputs, warnings: list[str]
) -> list[HistogramBucketSettings]:
    text = inputs.annotations.get(f"{_ANNOTATION}statsHistogramBuckets")
    if not text:
        return []
    try:
        buckets = {
            str(prefix): [float(bound) for bound in bounds]
            for prefix, bounds in json.loads(text).items()
        }
    except (ValueError, TypeError, AttributeError):
        warnings.append(
            f"annotation {_ANNOTATION}statsHistogramBuckets is not a JSON object of number lists: ignored"
        )
        return []
    return [
        HistogramBucketSettings(match=StringMatcher(prefix=prefix), buckets=buckets[prefix])
        for prefix in sorted(buckets)
    ]


def _patterns(inputs: BootstrapInputs, *, metadata_discovery: bool) -> list[StringMatcher]:
    suffixes = list(_REQUIRED_SUFFIXES)
    if inputs.metadata.get("EXIT_ON_ZERO_ACTIVE_CONNECTIONS") == "true":
        suffixes.append(_EXIT_SUFFIX)
    prefixes = ["reporter="]
    if metadata_discovery:
        prefixes.append("workload_discovery")
    prefixes += _inclusion(inputs, "Prefixes", _REQUIRED_PREFIXES)
    regexps = _inclusion(inputs, "Regexps", _REQUIRED_REGEXPS)
    return [
        *(StringMatcher(prefix=text) for text in prefixes),
        *(StringMatcher(suffix=text) for text in _inclusion(inputs, "Suffixes", suffixes)),
        *(StringMatcher(safe_regex=RegexMatcher(regex=text)) for text in regexps),
        StringMatcher(prefix="component"),
        StringMatcher(prefix="istio"),
    ]


def _inclusion(inputs: BootstrapInputs, kind: str, required: Iterable[str]) -> list[str]:
    annotated = inputs.annotations.get(f"{_ANNOTATION}statsInclusion{kind}", "")
    matcher = inputs.proxy_config.get("proxyStatsMatcher") or {}
    wanted = annotated.split(",") if annotated else matcher.get(f"inclusion{kind}") or []
    return [text for item in (*wanted, *required) for text in _expanded(item, inputs)]


def _expanded(pattern: str, inputs: BootstrapInputs) -> list[str]:
    if _POD_IP not in pattern:
        return [pattern]
    return [pattern.replace(_POD_IP, address) for address in inputs.instance_ips]
