# SPDX-License-Identifier: Apache-2.0
"""Between Envoy and the control plane: relay, store, local types. Answers to spec/agent.md 4, DESIGN 4.2, 4.3.

``relay`` decides and is pure; ``session`` carries bytes for one stream of Envoy; ``link`` reaches the
control plane; ``store`` keeps what Envoy acknowledged; ``proxy`` owns them. Nothing here parses a
resource that is forwarded.
"""
