# SPDX-License-Identifier: Apache-2.0
"""Traffic capture: programs the kernel so that a pod's traffic goes through Envoy, and undoes it.

The room imports ``mesh`` and the standard library, nothing else: it is an init container's whole work, and starts fast
(values are NamedTuples, not dataclasses, because ``dataclasses`` alone costs a third of the start).

    flags + env -> config P -> plan P (rules with their reason) -> observed P (compare) -> render P -> backend -> probe

There are two kinds of rules: iptables' (rules, plan, observed, render; ``apply`` orders the steps) and nft's, for
``--native-nftables`` (nft_rules, nft_plan, nft_observed, nft_render; ``nft``). ``explain`` reads both into the steps of
one walk. Pure: all but apply, nft and what follows. Only ``backend`` starts processes, only ``host`` reads the machine,
only ``netlink`` talks to the kernel, only ``probe`` opens TCP sockets. Answers to spec/agent.md section 10.
"""
