# SPDX-License-Identifier: Apache-2.0
"""Traffic capture: programs the kernel so that a pod's traffic goes through Envoy, and undoes it.

The room imports ``mesh`` and the standard library, nothing else: it is an init container's whole work, and starts fast
(values are NamedTuples, not dataclasses, because ``dataclasses`` alone costs a third of the start).

    flags + env -> config P -> plan P (rules with their reason) -> observed P (compare) -> render P -> backend -> probe

Pure: config, flags, rules, plan, render, observed, explain, nft*. Only ``backend`` starts processes, only ``host``
reads the machine, only ``probe`` opens sockets. Answers to spec/agent.md section 10.
"""
