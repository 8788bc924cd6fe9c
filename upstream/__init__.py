# SPDX-License-Identifier: Apache-2.0
"""The paired control plane: Istio YAML in, xDS and certificates out.

Imports ``wire`` and ``mesh``, no other room. Environment and argv are read in ``cli`` only; sockets are
opened by ``app``; what is marked pure below takes time and chance as arguments. Source: spec/upstream.md.
"""
