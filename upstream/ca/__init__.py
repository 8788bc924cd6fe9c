# SPDX-License-Identifier: Apache-2.0
"""The certificate authority: its key on disk, what it signs, for whom.

With ``upstream.tokens`` the only user of ``cryptography`` in this room. Source: spec/upstream.md 4, 1.3.
"""
