# SPDX-License-Identifier: Apache-2.0
"""The one Envoy process: its command line, its admin port, its life. Answers to spec/agent.md 3.

``command`` and ``stats`` are pure; ``process`` forks and reaps; ``admin`` speaks HTTP on loopback.
"""
