# SPDX-License-Identifier: Apache-2.0
"""The HTTP server on statusPort: health, probes, metrics, quitting. Answers to spec/agent.md 9.

``ready`` and ``prometheus`` are pure; ``server`` speaks HTTP with h11. It asks the other parts through
the small protocols it declares and never knows them.
"""
