# SPDX-License-Identifier: Apache-2.0
"""Writes Envoy's first configuration. A room of two halves with a pipe between them.

The agent imports ``inputs`` (what crosses the pipe) and ``launch`` (starts the child and waits for
it). The child, ``python -m bootstrap``, imports ``author`` and its ``sections``: only those know
envoy_data_plane, whose memory goes back to the machine when the child exits. It may touch the
configuration directory and nothing else. Answers to spec/agent.md section 2.
"""
