# SPDX-License-Identifier: Apache-2.0
"""What an operator asks of the agent itself, on a unix socket of its own: ``<configPath>/ADMIN``. DESIGN 4.10."""
