# SPDX-License-Identifier: Apache-2.0
"""Shared test doubles and witnesses: a test CA, real Envoy, what this machine can run."""
