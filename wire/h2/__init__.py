# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 for gRPC without I/O: bytes in, events and bytes out. Pure: no sockets, clocks or tasks.

Read ``connection`` first. Answers to RFC 9113, RFC 7541 (through ``hpack``) and the "gRPC over
HTTP2" protocol description. Where what is decided:

    frames, blocks      bytes: frame headers and payloads (4, 6), field blocks (4.3, RFC 7541)
    walk                what a frame says about itself: sizes, padding, the order inside a block
    stream, connection  states (5.1, 6.8); which frame may come when; what the owner hears (events)
    outbound            what may be sent: windows and the peer's settings (6.5.2, 6.9)
    headers             which field lists are well formed (8.2, 8.3)
    budget, limits      how much of it: every bound that a peer can lean against
    grpc                messages, statuses, timeouts

Attacks, the rule that each breaks and what stops it are listed in ``tests/wire/h2io/test_hostile.py``;
what a server may do wrong to our client, in ``tests/wire/misbehaving.py``.
"""
