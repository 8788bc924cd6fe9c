# SPDX-License-Identifier: Apache-2.0
"""Which cloud this machine belongs to, asked of its metadata server. Runs in the bootstrap child only.

``gcp``, ``aws`` and ``azure`` are pure: they ask through a ``Fetch`` that they are given. ``fetch`` is
the only module that opens a connection, ``discover`` the only one with threads. Nothing here is ever
fatal: no answer in time is no platform. Source: spec/agent.md 2.8, appendix O.
"""
