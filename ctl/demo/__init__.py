# SPDX-License-Identifier: Apache-2.0
"""The main job on one machine: a control plane, three sidecars with real Envoy, and checks of what they promise.

Runs the installed programs as a user would and looks at them from outside: HTTP, admin ports, files, signals.
"""
