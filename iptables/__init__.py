# SPDX-License-Identifier: Apache-2.0
"""Traffic capture: programs the kernel so that a pod's traffic goes through Envoy, and undoes it.

The room imports ``mesh`` and the standard library, nothing else: it is an init container's whole work, and starts fast.
Answers to spec/agent.md section 10.
"""
