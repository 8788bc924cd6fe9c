#!/bin/sh
# SPDX-License-Identifier: Apache-2.0
# Resolve pyproject.toml in a fresh environment and write what came out as requirements.lock.
set -eu
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
"${PYTHON:-python3}" -m venv "$dir/venv"
"$dir/venv/bin/python" -m pip install --quiet --disable-pip-version-check -e '.[dev]'
{
    echo "# Made by 'make lock' from pyproject.toml; used as constraints by make, CI and images."
    "$dir/venv/bin/python" -m pip freeze --exclude-editable
} > requirements.lock
