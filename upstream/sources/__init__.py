# SPDX-License-Identifier: Apache-2.0
"""Where configuration comes from. A source says what changed; it never decides what that means."""
