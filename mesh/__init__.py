# SPDX-License-Identifier: Apache-2.0
"""The ground floor: words that every room shares. Standard library only; may import no other room."""
