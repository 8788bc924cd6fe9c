# SPDX-License-Identifier: Apache-2.0
"""One file per subject of the bootstrap; only the child imports them. Each turns inputs into Envoy messages.

They decide from ``BootstrapInputs`` alone and touch no file, clock or environment. What the peer
refuses raises BootstrapFailed with the field's name; what it only warns about goes into ``warnings``.
"""
