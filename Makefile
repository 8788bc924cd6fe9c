# SPDX-License-Identifier: Apache-2.0
# Needs Python 3.11+ with venv, and make. Everything else lands in .venv.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PYTEST := $(BIN)/python -m pytest
WORKERS ?= auto
RUN_STAMP := $(VENV)/.run
DEV_STAMP := $(VENV)/.dev

.PHONY: help demo h2spec fuzz test test-long check format conformance bench parity lock protos clean
help:
	@sed -n 's/^## //p' Makefile

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(RUN_STAMP): $(BIN)/python pyproject.toml requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[envoy]'
	@touch $@

$(DEV_STAMP): $(RUN_STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c requirements.lock -e '.[dev]'
	@touch $@

## make demo         the main job with real Envoy, checked step by step (CAPTURE=1: traffic captured for real; root)
demo: $(RUN_STAMP)
	$(BIN)/pilotctl demo $(if $(CAPTURE),--capture $(CAPTURE:1=iptables)) $(DEMO_ARGS)

## make test         all tests that this machine can run; names what it skips and what that wants
test: $(DEV_STAMP)
	$(PYTEST) -n $(WORKERS) $(PYTEST_ARGS)

## make test-long    kill loops, soaks, big matrices
test-long: $(DEV_STAMP)
	$(PYTEST) -n $(WORKERS) -m long $(PYTEST_ARGS)

## make conformance  the peers' own cases (CONFORMANCE_DIR=dir for another set)
conformance: $(DEV_STAMP)
	$(PYTEST) -n $(WORKERS) tests/conformance $(PYTEST_ARGS)

## make h2spec       the conformance suite of HTTP/2 against our server (wants Go)
h2spec: $(DEV_STAMP)
	$(PYTEST) -s tests/wire/test_h2spec.py $(PYTEST_ARGS)

## make fuzz         atheris on wire/, FUZZ_SECONDS for each target (FUZZ_TARGETS="server client"); finds join the corpus
FUZZ_SECONDS ?= 300
FUZZ_TARGETS ?=
fuzz: $(DEV_STAMP)
	$(BIN)/python -m tests.wire.fuzz --seconds $(FUZZ_SECONDS) $(FUZZ_TARGETS)

## make check        format, lint, types, import rules, spelling
check: $(DEV_STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/codespell

## make format       what check would complain about and a machine can mend
format: $(DEV_STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

## make bench        relay, memory and start-up figures beside their yardsticks
bench: $(DEV_STAMP)
	$(BIN)/python -m bench

## make protos       regenerate wire/proto/*_pb2.py from the .proto files
protos: $(DEV_STAMP)
	$(BIN)/python tools/protos.py

## make parity       rewrite docs/parity.md from its table
parity: $(DEV_STAMP)
	$(BIN)/python -m tools.parity

## make lock         refresh requirements.lock from pyproject.toml
lock:
	tools/lock.sh

clean:
	rm -rf $(VENV) build *.egg-info .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .fuzz
