# SPDX-License-Identifier: Apache-2.0
"""``pilotctl``: what a person types. Talks to agent and upstream as a user would: by command line, socket and HTTP.

Imports ``wire`` and ``mesh``; never ``agent`` nor ``upstream`` (``ctl.analyze`` alone may read ``upstream.config``).
"""
