# SPDX-License-Identifier: Apache-2.0
"""HTTP/2 for gRPC without I/O: bytes in, events and bytes out. Pure: no sockets, clocks or tasks.

Read ``connection`` first. Answers to RFC 9113, RFC 7541 (through ``hpack``) and the "gRPC over
HTTP2" protocol description.
"""
