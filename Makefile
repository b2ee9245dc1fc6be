# What a person types. `make` alone lists it. Nothing here needs root or a compiler: wheels only.

PYTHON ?=
SCENARIO ?= scenarios/azure-marketplace/scenario.yaml
# Processes that run tests at once.
WORKERS ?= 2
# More options for pytest: make test PYTEST="-k channel"
PYTEST ?=
# COVERAGE=1: also measure branch coverage, and fail below the floor in pyproject.toml.
COVERAGE ?=
# More options for the benchmarks: make bench MEASURE="--only peers"
MEASURE ?=
# What of the library: make library LIBRARY="claim-cadence"
LIBRARY ?=
# UPGRADE=1: `make lock` takes the newest versions that fit, instead of keeping those it has.
UPGRADE ?=

BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
# A lock is the whole closure, so nothing is resolved anew: a requirement that asks for an extra of a
# package (coverage[toml]) would send pip to the newest release, which no hash covers.
LOCKED := --no-deps --require-hashes --only-binary :all:
UV := uv==0.13.9
LOCK := $(BIN)/uv pip compile --quiet --no-config --universal --python-version 3.11 --only-binary :all: \
	--fork-strategy fewest --generate-hashes --no-emit-index-url --no-emit-find-links --no-annotate \
	--custom-compile-command "make lock" $(if $(UPGRADE),--upgrade)

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help setup setup-dev demo test e2e check wire format bench validation wide contracts gas library lock clean distclean

help:  ## this list
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# The interpreter that was asked for, or the first on the PATH that is new enough and not too new.
.venv/.python:
	@set -eu; found=""; \
	for name in $(if $(PYTHON),"$(PYTHON)",python3 python python3.13 python3.12 python3.11); do \
	  if "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null; then found="$$name"; break; fi; \
	done; \
	if [ -z "$$found" ]; then \
	  echo "Python 3.11, 3.12 or 3.13 is needed, and $(if $(PYTHON),$(PYTHON) is not one of them,none is on the PATH). Name one: make setup PYTHON=/path/to/python3" >&2; exit 1; fi; \
	if ! "$$found" -c 'import venv, ensurepip' 2>/dev/null; then \
	  echo "$$found has no venv module. It is part of Python; Debian and Ubuntu ship it apart, as python3-venv." >&2; exit 1; fi; \
	"$$found" -m venv .venv; \
	touch $@

# Each stamp is newer than the locks it was made from, so that a second call does nothing.
.venv/.base: requirements/base.txt pyproject.toml | .venv/.python
	@echo "Installing the locked packages into .venv ..."
	@$(PIP) install $(LOCKED) -r requirements/base.txt
	@$(PIP) install --no-deps --no-index --no-build-isolation --editable .
	@$(PIP) check
	@touch $@

.venv/.dev: requirements/dev.txt .venv/.base
	@echo "Installing what the tests and checks need into .venv ..."
	@$(PIP) install $(LOCKED) -r requirements/dev.txt
	@$(PIP) check
	@touch $@

setup: .venv/.base  ## .venv with what a simulation needs

setup-dev: .venv/.dev  ## .venv with what tests and checks need, too

demo: setup  ## the main job on the real Azure trace; prints where the report is
	@$(BIN)/trustedpods run $(SCENARIO)
	@report="$$(cd runs/latest && pwd -P)/report.html"; test -f "$$report"; echo "The report: $$report"

test: setup-dev  ## the tests
	$(BIN)/python -m pytest -n $(WORKERS) $(if $(COVERAGE),--cov --cov-report=term) $(PYTEST)

e2e: setup-dev  ## the whole road: command, files, bytes, wheel, docs' code, the scenario library, nodes (needs Node.js)
	$(BIN)/python -m pytest --e2e -m e2e -n $(WORKERS) --dist loadfile tests/e2e tests/scenarios $(PYTEST)

check: setup-dev  ## format, lint, types, import rules, locks
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	@if grep -nE '://|^ *-[-a-z]*(index|find-links|host)' requirements/*.txt; then echo "the locks name an address" >&2; exit 1; fi

wire: setup-dev  ## generate the wire messages' Python from the .proto
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/python -m grpc_tools.protoc -I. --python_out=. --mypy_out=. protocol/wire/trusted_pods.proto

format: setup-dev  ## put the code in form
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: setup-dev  ## speed and scale beside the peers; twenty minutes on a quiet machine (MEASURE="--quick": a first look)
	$(BIN)/python -m benchmarks $(MEASURE)

validation: setup-dev  ## run every known answer and write the table in docs/validation.md
	$(BIN)/python -m tests.theory

wide: setup-dev  ## the long runs: many more examples, soaks (hours)
	HYPOTHESIS_PROFILE=wide $(BIN)/python -m pytest -n $(WORKERS) --wide $(PYTEST)

# The stamp is npm's own file, so that a second call installs nothing.
contracts/node_modules/.package-lock.json: contracts/package-lock.json
	cd contracts && npm ci --silent --ignore-scripts
	@touch $@

contracts: contracts/node_modules/.package-lock.json  ## compile the contracts anew (needs Node.js)
	cd contracts && node build.mjs

gas: setup-dev  ## measure the contracts' gas anew (Python 3.11 or 3.12)
	$(BIN)/python -m tests.contracts.gas

library: setup-dev  ## run the scenario library's sweeps, and make its pages, plots and notebooks (LIBRARY="--drawn NAME")
	$(BIN)/python -m scenarios $(LIBRARY)

# Several lines of versions fit all three Pythons; one is taken, so that each of them simulates with the same code.
lock: | .venv/.python  ## write requirements/*.txt anew from pyproject.toml
	@$(PIP) install --only-binary :all: $(UV)
	$(LOCK) pyproject.toml requirements/setup.in --output-file requirements/base.txt
	$(LOCK) pyproject.toml requirements/setup.in --extra bench --extra dev --extra evm --extra experiments --extra live --extra notebooks \
	  --constraint requirements/base.txt --output-file requirements/dev.txt

clean:  ## remove what tools left; keeps .venv and runs/
	rm -rf build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache .coverage .coverage.* htmlcov
	find . -path ./.venv -prune -o -type d -name __pycache__ -exec rm -rf {} +

distclean: clean  ## also remove .venv
	rm -rf .venv
