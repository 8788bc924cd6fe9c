# SPDX-License-Identifier: Apache-2.0
"""What the protocols say: HTTP/2 for gRPC, the xDS envelopes, subscriptions and verdicts.

Imports ``mesh``, ``hpack`` and ``google.protobuf``; no other room. All of it is pure but ``h2io``,
which owns the sockets and decides nothing.
"""
