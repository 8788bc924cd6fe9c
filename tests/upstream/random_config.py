# SPDX-License-Identifier: Apache-2.0
"""Hypothesis strategies for valid Istio objects: a small mesh whose parts refer to each other.

Of what is drawn the objects that validation refuses are left out; that Envoy takes the rest is what tests find out.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml
from hypothesis import strategies as st

from tests.upstream.support import sidecar
from upstream.config import parse_documents
from upstream.proxy import Interception, Proxy, ProxyType
from upstream.world import World

HOSTS = ("a.default.svc.cluster.local", "b.other.svc.cluster.local", "c.test", "*.wild.test")
SPACES = ("default", "other", "istio-system")
SUBSETS = ("v1", "v2")
HTTP = ("HTTP", "HTTP2", "GRPC", "GRPC-Web")
PROTOCOLS = (*HTTP, "TCP", "TLS", "HTTPS", "MONGO", "")
PORTS = (80, 443, 8080, 9090, 3306)

Draw = st.DrawFn
Json = dict[str, Any]


def _record(
    required: Mapping[str, Any] | None = None, /, **optional: st.SearchStrategy[Any]
) -> st.SearchStrategy[Json]:
    """A mapping with some of the optional keys."""
    return st.fixed_dictionaries(dict(required or {}), optional=optional)


_seconds = st.sampled_from(["0.5s", "1s", "10s", "1h"])
_percentages = _record({"value": st.sampled_from([0.0, 0.01, 12.5, 100.0])})
_labels = st.sampled_from([{"app": "a"}, {"app": "b"}, {"version": "v1"}])
_selectors = _record(matchLabels=_labels)
_texts = st.sampled_from(
    [
        {"exact": "/x"},
        {"prefix": "/"},
        {"prefix": "/p"},
        {"regex": "/r.*"},
        {"regex": "/[0-9]{2,3}"},
    ]
)
_values = st.sampled_from([{"exact": "v"}, {"prefix": "v"}, {"regex": "v+"}, {"regex": "*"}, {}])
_names = st.sampled_from(["x-one", "x-two", "cookie"])


def _port_lists(protocols: tuple[str, ...]) -> st.SearchStrategy[list[Json]]:
    numbers = st.lists(st.sampled_from(PORTS), min_size=1, max_size=3, unique=True)

    def named(drawn: tuple[list[int], list[str]]) -> list[Json]:
        return [
            {"number": number, "name": f"p{number}", "protocol": protocol}
            for number, protocol in zip(*drawn, strict=False)
        ]

    words = st.lists(st.sampled_from(protocols), min_size=3, max_size=3)
    return st.tuples(numbers, words).map(named)


@st.composite
def _service_entries(draw: Draw, host: str) -> Json:
    resolution = draw(st.sampled_from(["STATIC", "DNS", "NONE", "DNS_ROUND_ROBIN"]))
    if host.startswith("*"):
        resolution = draw(st.sampled_from(["STATIC", "NONE"]))
    spec: Json = {
        "hosts": [host],
        "location": draw(st.sampled_from(["MESH_INTERNAL", "MESH_EXTERNAL"])),
        "resolution": resolution,
        "ports": draw(_port_lists(PROTOCOLS)),
        "addresses": draw(st.sampled_from([[], ["10.9.0.1"], ["10.9.0.0/24"], ["fd00::9"]])),
    }
    if resolution != "NONE":
        spec["endpoints"] = draw(st.lists(_endpoints(resolution), max_size=3))
    if resolution == "DNS_ROUND_ROBIN":
        spec["endpoints"] = spec["endpoints"][:1]
    return spec


@st.composite
def _endpoints(draw: Draw, resolution: str) -> Json:
    addresses = ["10.1.0.1", "10.1.0.2", "fd00::1"]
    if resolution != "STATIC":
        addresses = ["one.test", "10.1.0.9"]
    rest = _record(
        labels=st.sampled_from([{"version": "v1"}, {"security.istio.io/tlsMode": "istio"}]),
        locality=st.sampled_from(["r1/z1/s1", "r1/z2", "r2"]),
        weight=st.integers(1, 100),
        serviceAccount=st.just("a"),
    )
    return {"address": draw(st.sampled_from(addresses)), **draw(rest)}


_destinations = _record(
    {"host": st.sampled_from([host for host in HOSTS if "*" not in host])},
    subset=st.sampled_from(SUBSETS),
    port=_record({"number": st.sampled_from(PORTS)}),
)
_operations = _record(
    set=st.dictionaries(_names, st.just("v"), max_size=2),
    add=st.dictionaries(_names, st.just("w"), max_size=2),
    remove=st.lists(st.just("x-gone"), max_size=1),
)
_headers = _record(request=_operations, response=_operations)
_matches = _record(
    uri=_texts,
    method=st.just({"exact": "GET"}),
    scheme=st.just({"exact": "http"}),
    authority=st.just({"prefix": "a."}),
    headers=st.dictionaries(_names, _values, max_size=2),
    withoutHeaders=st.dictionaries(_names, _values, max_size=2),
    queryParams=st.dictionaries(st.just("q"), _values, max_size=1),
    ignoreUriCase=st.booleans(),
    port=st.sampled_from(PORTS),
    sourceLabels=_labels,
    sourceNamespace=st.sampled_from(SPACES),
)
_faults = _record(
    delay=_record({"fixedDelay": _seconds, "percentage": _percentages}),
    abort=st.one_of(
        _record({"httpStatus": st.sampled_from([400, 503]), "percentage": _percentages}),
        _record({"grpcStatus": st.just("UNAVAILABLE"), "percentage": _percentages}),
    ),
)
_retries = _record(
    {"attempts": st.integers(1, 5)},
    perTryTimeout=_seconds,
    retryOn=st.sampled_from(["5xx", "connect-failure,503", "reset,429"]),
    retryRemoteLocalities=st.booleans(),
    retryIgnorePreviousHosts=st.booleans(),
    backoff=_seconds,
)
_rewrites = st.one_of(
    _record({"uri": st.just("/new")}, authority=st.just("h.test")),
    _record({"uriRegexRewrite": st.just({"match": "^/(.*)", "rewrite": r"/b/\1"})}),
)
_cors = _record(
    allowOrigins=st.lists(_values.filter(bool), max_size=2),
    allowMethods=st.just(["GET"]),
    maxAge=st.just("10s"),
    allowCredentials=st.booleans(),
)


@st.composite
def _shares(draw: Draw) -> list[Json]:
    count = draw(st.integers(1, 3))
    drawn = _record({"destination": _destinations}, headers=_headers)
    shares: list[Json] = [draw(drawn) for _ in range(count)]
    if count > 1:
        for share in shares:
            share["weight"] = draw(st.integers(0, 100))
        shares[0]["weight"] = draw(st.integers(1, 100))
    return shares


@st.composite
def _http_rules(draw: Draw) -> Json:
    common = draw(
        _record(name=st.just("r"), match=st.lists(_matches, max_size=2), headers=_headers)
    )
    answers = {
        "redirect": _record(
            {"redirectCode": st.sampled_from([301, 302, 303, 307, 308])},
            uri=st.just("/else"),
            authority=st.just("h.test"),
            scheme=st.just("https"),
            port=st.just(8443),
        ),
        "directResponse": _record({"status": st.sampled_from([200, 418, 503])}, body=_bodies),
    }
    kind = draw(st.sampled_from(["route", "route", "route", *answers]))
    if kind != "route":
        return {**common, kind: draw(answers[kind])}
    more = _record(
        timeout=_seconds,
        retries=_retries,
        fault=_faults,
        rewrite=_rewrites,
        corsPolicy=_cors,
        mirrors=st.lists(
            _record({"destination": _destinations}, percentage=_percentages), max_size=2
        ),
    )
    return {**common, "route": draw(_shares()), **draw(more)}


_bodies = st.sampled_from([{"string": "hello"}, {"bytes": "aGk="}])
_l4 = st.lists(
    _record({"destination": _destinations, "weight": st.integers(1, 9)}), min_size=1, max_size=2
)


@st.composite
def _virtual_services(draw: Draw) -> Json:
    hosts = draw(
        st.lists(st.sampled_from((*HOSTS, "new.test")), min_size=1, max_size=2, unique=True)
    )
    spec: Json = {"hosts": hosts}
    spec["http"] = draw(st.lists(_http_rules(), min_size=1, max_size=3))
    subnets = st.sampled_from([["10.9.0.0/16"], ["10.9.0.1/32"]])
    match = _record(port=st.sampled_from(PORTS), destinationSubnets=subnets)
    tcp = _record({"route": _l4}, match=st.lists(match, min_size=1, max_size=2))
    spec["tcp"] = draw(st.lists(tcp, max_size=2))
    names = st.lists(st.sampled_from(hosts), min_size=1, max_size=2, unique=True)
    sni = _record({"sniHosts": names}, port=st.sampled_from(PORTS), destinationSubnets=subnets)
    tls = _record({"route": _l4, "match": st.lists(sni, min_size=1, max_size=2)})
    spec["tls"] = draw(st.lists(tls, max_size=2))
    return {key: value for key, value in spec.items() if value}


_hashes = st.one_of(
    _record({"httpHeaderName": st.just("x-user")}, minimumRingSize=st.sampled_from([1, 2048])),
    _record({"useSourceIp": st.just(True)}, maglev=_record(tableSize=st.just(5003))),
    _record({"httpCookie": st.just({"name": "c", "ttl": "0s"})}, ringHash=_record()),
    _record({"httpQueryParameterName": st.just("q")}),
)
_localities = st.one_of(
    _record({"distribute": st.just([{"from": "r1/*", "to": {"r1/*": 80, "r2/*": 20}}])}),
    _record({"failover": st.just([{"from": "r1", "to": "r2"}])}),
    _record({"enabled": st.just(False)}),
)
_balancers = st.one_of(
    _record(
        simple=st.sampled_from(["ROUND_ROBIN", "RANDOM", "LEAST_REQUEST", "PASSTHROUGH"]),
        localityLbSetting=_localities,
        warmup=_record({"duration": _seconds}, aggression=st.just(1.5), minimumPercent=st.just(10)),
    ),
    _record({"consistentHash": _hashes}, localityLbSetting=_localities),
)
_limits = st.sampled_from([0, 1, 100])
_pools = _record(
    tcp=_record(
        maxConnections=_limits,
        connectTimeout=_seconds,
        idleTimeout=_seconds,
        maxConnectionDuration=_seconds,
        tcpKeepalive=_record(probes=st.just(3), time=st.just("10s"), interval=st.just("1s")),
    ),
    http=_record(
        http1MaxPendingRequests=_limits,
        http2MaxRequests=_limits,
        maxRequestsPerConnection=_limits,
        maxRetries=_limits,
        idleTimeout=_seconds,
        h2UpgradePolicy=st.sampled_from(["UPGRADE", "DO_NOT_UPGRADE"]),
        maxConcurrentStreams=_limits,
    ),
).filter(bool)
_outliers = _record(
    consecutive5xxErrors=st.integers(0, 5),
    consecutiveGatewayErrors=st.integers(0, 5),
    interval=_seconds,
    baseEjectionTime=_seconds,
    maxEjectionPercent=st.integers(0, 100),
    minHealthPercent=st.integers(0, 100),
    splitExternalLocalOriginErrors=st.booleans(),
    consecutiveLocalOriginFailures=st.integers(1, 5),
)
_client_tls = st.one_of(
    _record({"mode": st.sampled_from(["DISABLE", "ISTIO_MUTUAL"])}),
    _record(
        {"mode": st.just("SIMPLE")},
        sni=st.just("s.test"),
        caCertificates=st.just("/etc/ca.pem"),
        subjectAltNames=st.just(["x.test"]),
        insecureSkipVerify=st.booleans(),
    ),
    _record(
        {
            "mode": st.just("MUTUAL"),
            "clientCertificate": st.just("/etc/c.pem"),
            "privateKey": st.just("/etc/k.pem"),
        }
    ),
)
_parts = {
    "loadBalancer": _balancers,
    "connectionPool": _pools,
    "outlierDetection": _outliers,
    "tls": _client_tls,
}
_port_policies = _record({"port": _record({"number": st.sampled_from(PORTS)})}, **_parts)
_policies = _record({}, **_parts, portLevelSettings=st.lists(_port_policies, max_size=1))
_subsets = st.lists(st.sampled_from(SUBSETS), max_size=2, unique=True).flatmap(
    lambda names: st.tuples(
        *(
            _record(
                {"name": st.just(name), "labels": st.just({"version": name})},
                trafficPolicy=_policies,
            )
            for name in names
        )
    ).map(list)
)


@st.composite
def _destination_rules(draw: Draw) -> Json:
    rest = draw(_record(trafficPolicy=_policies, subsets=_subsets, exportTo=st.just(["."])))
    return {"host": draw(st.sampled_from(HOSTS)), **rest}


_modes = st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE", "UNSET"])
_peers = st.one_of(
    _record(mtls=_record({"mode": _modes})),
    _record(
        {"selector": _record({"matchLabels": _labels})},
        mtls=_record({"mode": _modes}),
        portLevelMtls=st.dictionaries(
            st.sampled_from(["8080", "9090"]), _record({"mode": _modes}), min_size=1
        ),
    ),
)
_words = st.lists(st.sampled_from(["x", "x*", "*x", "*"]), min_size=1, max_size=2)
_people = st.lists(
    st.sampled_from(["cluster.local/ns/default/sa/a", "*/sa/a", "cluster.local/*", "*"]), min_size=1
)
_blocks = st.lists(st.sampled_from(["10.0.0.0/8", "10.1.2.3", "fd00::/8"]), min_size=1)
_sources = st.one_of(
    _record({"principals": _people}, notNamespaces=_words, ipBlocks=_blocks),
    _record({"namespaces": _words}, requestPrincipals=_words, notRemoteIpBlocks=_blocks),
    _record({"serviceAccounts": st.just(["default/a"])}),
)
_paths = st.lists(st.sampled_from(["/x", "/x*", "*x", "/a/{*}/b", "/c/{**}"]), min_size=1)
_to = st.one_of(
    _record({"paths": _paths}, methods=st.just(["GET"]), notHosts=_words),
    _record({"ports": st.just(["80", "8080"])}, notPaths=_paths),
)
_conditions = st.one_of(
    _record(
        {
            "key": st.sampled_from(
                [
                    "request.headers[x]",
                    "source.principal",
                    "request.auth.claims[a][b]",
                    "connection.sni",
                ]
            ),
            "values": _words,
        }
    ),
    _record({"key": st.just("destination.port"), "notValues": st.just(["80"])}),
    _record({"key": st.sampled_from(["source.ip", "destination.ip"]), "values": _blocks}),
)
_rules = _record(
    {},
    **{
        "from": st.lists(_record({"source": _sources}), min_size=1, max_size=2),
        "to": st.lists(_record({"operation": _to}), min_size=1, max_size=2),
        "when": st.lists(_conditions, min_size=1, max_size=2),
    },
)
_authorizations = _record(
    {
        "action": st.sampled_from(["ALLOW", "DENY", "AUDIT"]),
        "rules": st.lists(_rules, min_size=1, max_size=2),
    },
    selector=_selectors,
)


def _listener_ports(numbers: tuple[int, ...]) -> st.SearchStrategy[Json]:
    protocols = st.sampled_from(["HTTP", "HTTP2", "TCP", "HTTP_PROXY", ""])
    return _record(
        {"number": st.sampled_from(numbers), "protocol": protocols, "name": st.just("p")}
    )


_ingress = _record(
    {
        "port": _record(
            {
                "number": st.sampled_from([8080, 9090]),
                "protocol": st.sampled_from(["HTTP", "TCP", "GRPC", "TLS", ""]),
                "name": st.just("in"),
            }
        )
    },
    bind=st.just("127.0.0.11"),
    captureMode=st.sampled_from(["NONE", "DEFAULT"]),
    defaultEndpoint=st.sampled_from(["127.0.0.1:1000", "0.0.0.0:1000", "unix:///tmp/x.sock"]),
    connectionPool=_pools,
)
_imports = st.lists(
    st.sampled_from(["*/*", "./*", "default/a.default.svc.cluster.local", "*/*.test"]),
    min_size=1,
    max_size=2,
)


@st.composite
def _sidecars(draw: Draw) -> Json:
    spec: Json = {}
    ingress = draw(st.lists(_ingress, max_size=2, unique_by=lambda one: str(one["port"]["number"])))
    if ingress:
        spec["ingress"] = ingress
    if draw(st.booleans()):
        explicit = _record(
            {"port": _listener_ports((15007, 3128, 8080)), "hosts": _imports},
            bind=st.sampled_from(["127.0.0.1", "0.0.0.0"]),
            captureMode=st.sampled_from(["NONE", "DEFAULT"]),
        )
        spec["egress"] = [*draw(st.lists(explicit, max_size=1)), {"hosts": draw(_imports)}]
    mode = st.sampled_from(["REGISTRY_ONLY", "ALLOW_ANY"])
    return spec | draw(_record(outboundTrafficPolicy=_record({"mode": mode})))


_NETWORKING = {
    "VirtualService": _virtual_services(),
    "DestinationRule": _destination_rules(),
    "Sidecar": _sidecars(),
}
_SECURITY = {"PeerAuthentication": _peers, "AuthorizationPolicy": _authorizations}


@st.composite
def _documents(draw: Draw) -> list[Json]:
    found = []
    for number, host in enumerate(draw(st.lists(st.sampled_from(HOSTS), min_size=1, unique=True))):
        found.append(
            _object("networking", "ServiceEntry", number, draw(_service_entries(host)), draw)
        )
    groups = {"networking": _NETWORKING, "security": _SECURITY}
    for group, kinds in groups.items():
        for kind, specs in kinds.items():
            for number, spec in enumerate(draw(st.lists(specs, max_size=2))):
                found.append(_object(group, kind, number, spec, draw))
    return found


def _object(group: str, kind: str, number: int, spec: Json, draw: Draw) -> Json:
    space = draw(st.sampled_from(SPACES))
    return {
        "apiVersion": f"{group}.istio.io/v1",
        "kind": kind,
        "metadata": {"name": f"{kind.lower()}-{number}", "namespace": space},
        "spec": spec,
    }


def _valid(documents: list[Json]) -> World:
    objects, _ = parse_documents(yaml.safe_dump_all(documents, sort_keys=False), "drawn.yaml")
    return World({"drawn.yaml": objects})


worlds: st.SearchStrategy[World] = st.builds(_valid, _documents())
proxies: st.SearchStrategy[Proxy] = st.builds(
    sidecar,
    st.sampled_from(SPACES[:2]),
    ip=st.sampled_from(["10.1.0.1", "10.1.0.2", "127.0.0.11", "fd00::1"]),
    labels=st.sampled_from([{}, {"app": "a"}, {"app": "b", "version": "v1"}]),
    interception=st.sampled_from(list(Interception)),
    kind=st.sampled_from([ProxyType.SIDECAR] * 5 + [ProxyType.ROUTER]),
    locality=st.sampled_from(["", "r1/z1/s1"]),
)
