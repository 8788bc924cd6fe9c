# SPDX-License-Identifier: Apache-2.0
"""The resident sidecar process: supervises Envoy and brings it configuration, secrets and health.

May import ``sdsserver``, ``bootstrap.{inputs,launch}``, ``wire`` and ``mesh``; third parties only as the import
test allows. ``settings``, ``lifecycle`` and ``readiness`` are pure; ``app`` wires one process from them.
"""
