# SPDX-License-Identifier: Apache-2.0
"""The one socket shell for gRPC: unix, TCP and TLS, server and client, around ``wire.h2``.

Everything of the product that speaks gRPC does it through here; nothing else in ``wire`` touches a
socket. Answers to RFC 9113 and the gRPC protocol description through ``wire.h2``; to DESIGN 4.1, 4.9
and 4.12 for sockets, peers and keys.
"""

from wire.h2.grpc import Code, Metadata, RpcError, Status
from wire.h2.limits import Limits
from wire.h2io.call import Call
from wire.h2io.client import Connection, connect
from wire.h2io.client_call import ClientCall
from wire.h2io.server import Handler, Server
from wire.h2io.server_call import ServerCall
from wire.h2io.types import Keepalive, Peer, Sink

__all__ = [
    "Call",
    "ClientCall",
    "Code",
    "Connection",
    "Handler",
    "Keepalive",
    "Limits",
    "Metadata",
    "Peer",
    "RpcError",
    "Server",
    "ServerCall",
    "Sink",
    "Status",
    "connect",
]
