# SPDX-License-Identifier: Apache-2.0
"""The composition root of the control plane: makes each part, binds, runs, stops. Source: spec/upstream.md 1.2.

Nothing listens before the configuration has been read once, so no proxy is ever told of an empty mesh.
"""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import dataclass, replace
from importlib.metadata import version
from ipaddress import ip_address

from mesh import log
from mesh.clock import Clock, SystemClock
from mesh.tasks import run_parts
from upstream import addresses, issuers
from upstream.ads import Ads
from upstream.auth import Authenticator
from upstream.ca import service as ca_service
from upstream.ca.authority import Limits as CertificateLimits
from upstream.ca.keeper import Keeper
from upstream.connections import Connection, Connections
from upstream.debug import DebugServer
from upstream.envelope import Piece
from upstream.gate import Gate
from upstream.generate import TYPES, generate
from upstream.metrics import Metrics
from upstream.options import Address, ListenOptions, PushOptions, ServeOptions, ServingOptions
from upstream.pipeline import Pipeline
from upstream.ratelimit import Bucket, by_processors
from upstream.snapshot import Snapshot
from wire.h2io import Keepalive, Limits, Server

DRAIN_GRACE = 0.5
"""How long open streams may take to see that we go; proxies reconnect elsewhere."""
MAX_STREAMS = 100_000
"""On one connection; the peer's number."""
MAX_REQUEST = 16 << 20
"""Node metadata and lists of names may be large; the peer's 4 MiB has proven small."""

_log = log.get()


def resources(
    type_url: str, connection: Connection, snapshot: Snapshot, names: frozenset[str] | None
) -> list[Piece] | None:
    """What the generators say, as pieces; None for a type that none of them makes."""
    if type_url not in TYPES:
        return None
    found = generate(type_url, connection.proxy, snapshot.world, names)
    return [Piece(name, any_bytes) for name, any_bytes in found]


@dataclass(slots=True, kw_only=True)
class Parts:
    """What runs; made by ``build`` in the order of the peer's boot."""

    pipeline: Pipeline
    keeper: Keeper
    ads: Ads
    debug: DebugServer
    plain: Server
    secure: Server


async def build(options: ServeOptions, clock: Clock) -> Parts:
    """Read the configuration, have an authority, wire the services. Raises BadSetting."""
    metrics, connections = Metrics(), Connections()
    pipeline = Pipeline(
        options.sources, options.push, connections, metrics, clock, profile=options.profile
    )
    await pipeline.load()
    trust_domain = pipeline.world.mesh.trust_domain
    keeper = Keeper(
        options.ca,
        serving_names(options.serving, options.listen.secure_grpc),
        organization=trust_domain,
        clock=clock,
    )
    authenticator = Authenticator(
        issuers.sources(options.auth, options.ca.state_dir, clock),
        lambda: pipeline.world.mesh.trust_domain,
    )
    ads = Ads(
        current=pipeline.current,
        generate=resources,
        connections=connections,
        metrics=metrics,
        clock=clock,
        throttle=options.push.throttle or by_processors(_processors()),
    )
    certificates = ca_service.CertificateService(
        lambda: keeper.authority,
        authenticator,
        CertificateLimits(default=options.ca.default_ttl, longest=options.ca.max_ttl),
        clock,
    )
    bucket = _bucket(options.push)

    def gate(who: Authenticator | None) -> Gate:
        check = options.auth.check_identity
        return Gate(who, check_identity=check, bucket=bucket, clock=clock)

    secure_gate = gate(authenticator if options.auth.required else None)
    limits, keepalive = Limits(max_message=MAX_REQUEST, max_streams=MAX_STREAMS), Keepalive()
    secure_routes = {**ads.routes(secure_gate), ca_service.PATH: certificates.create_certificate}
    return Parts(
        pipeline=pipeline,
        keeper=keeper,
        ads=ads,
        plain=Server(ads.routes(gate(None)), limits=limits, keepalive=keepalive),
        secure=Server(secure_routes, limits=limits, keepalive=keepalive),
        debug=DebugServer(
            version=version("pilothouse"),
            ready=lambda: pipeline.current() is not None,
            world=lambda: pipeline.world,
            faults=pipeline.faults,
            connections=connections,
            metrics=metrics,
            certificates=certificates.counts,
            authority=lambda: keeper.authority,
        ),
    )


async def bind(parts: Parts, listen: ListenOptions) -> addresses.Bound:
    """Open every listener that is not switched off. Raises BadSetting."""
    bound: addresses.Bound = {}
    if listen.grpc is not None:
        port = await parts.plain.bind_tcp(listen.grpc.bind_host, listen.grpc.port)
        bound["grpc"] = replace(listen.grpc, port=port)
    if listen.secure_grpc is not None:
        where = listen.secure_grpc
        port = await parts.secure.bind_tcp(where.bind_host, where.port, tls=parts.keeper.context)
        bound["secure_grpc"] = replace(where, port=port)
    if listen.http is not None:
        bound["http"] = await parts.debug.bind(listen.http)
    if listen.monitoring is not None:
        bound["monitoring"] = await parts.debug.bind(listen.monitoring)
    return bound


async def serve(options: ServeOptions, *, stop: asyncio.Event, clock: Clock | None = None) -> None:
    """Run until ``stop``. Raises BadSetting when something cannot be opened or read."""
    for note in options.notes:
        _log.warning("setting without effect", note=note)
    parts = await build(options, clock or SystemClock())
    addresses.withdraw(options.ca.state_dir)
    try:
        bound = await bind(parts, options.listen)
        _say_issuers(options)
        addresses.publish(options.ca.state_dir, bound)
        listening = {name: str(address) for name, address in bound.items()}
        _log.info("starting gRPC discovery service", **listening)
        await _run(parts, stop)
    finally:
        await parts.debug.close()
        parts.plain.stop_listening()
        parts.secure.stop_listening()
        addresses.withdraw(options.ca.state_dir)


async def _run(parts: Parts, stop: asyncio.Event) -> None:
    drained = asyncio.Event()

    async def drain() -> None:
        await stop.wait()  # no deadline: the process lives as long as it is not told to stop
        _log.info("stopping")
        await parts.plain.drain(DRAIN_GRACE)
        await parts.secure.drain(DRAIN_GRACE)
        drained.set()
        await asyncio.Event().wait()  # run_parts ends this part with all others

    await run_parts(
        {
            "plain": parts.plain.serve(),
            "secure": parts.secure.serve(),
            "debug": parts.debug.run(),
            "pipeline": parts.pipeline.run(),
            "certificates": parts.keeper.run(),
            "drain": drain(),
        },
        stop=drained,
    )


async def until_signalled(options: ServeOptions) -> None:
    """``serve`` until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await serve(options, stop=stop)


def serving_names(serving: ServingOptions, where: Address | None) -> ServingOptions:
    """On loopback, agents reach us by ``localhost`` and by address too."""
    if where is None or not where.is_loopback:
        return serving
    names = {*serving.names, "localhost"}
    try:
        names.add(str(ip_address(where.host)))
    except ValueError:
        names.add("127.0.0.1")
    return replace(serving, names=tuple(sorted(names)))


def _say_issuers(options: ServeOptions) -> None:
    if options.auth.rule is not None:
        _log.info("tokens are believed", issuer=options.auth.rule.issuer)
    if options.auth.development:
        _log.info("tokens of the development issuer are believed: the TLS port is on loopback")
    elif options.auth.rule is None and options.listen.secure_grpc is not None:
        _log.warning(
            "no token issuer: only client certificates are believed on the TLS port",
            hint="set JWT_RULE, or let --secureGRPCAddr listen on loopback for the development issuer",
        )


def _bucket(push: PushOptions) -> Bucket:
    return Bucket(push.streams_per_second or by_processors(_processors()))


def _processors() -> int:
    return len(os.sched_getaffinity(0))
