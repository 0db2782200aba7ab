# `make up` starts Strongroom, `make test` checks it. Both set up .venv first from the hashed lock files.
SHELL := /bin/bash
PYTHON ?= $(shell for p in python3.13 python3.12 python3.11 python3; do \
	command -v $$p >/dev/null && $$p -c 'import sys, venv, ensurepip; sys.exit(not (3, 11) <= sys.version_info[:2] < (3, 14))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --no-input -q

.PHONY: help up test test-slow test-postgres15 lint docs format lock clean
help:  ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(VENV)/.run: requirements/run.lock pyproject.toml
	@[ -n "$(PYTHON)" ] || { echo "Strongroom needs Python 3.11, 3.12 or 3.13 with the venv module (Debian: apt-get install python3-venv)." >&2; exit 1; }
	@echo "Setting up $(VENV) with $(PYTHON) …"
	@[ -x $(BIN)/python ] || $(PYTHON) -m venv $(VENV)
	@$(PIP) install --require-hashes -r requirements/build.lock
	@$(PIP) install --require-hashes -r requirements/run.lock
	@$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.dev: $(VENV)/.run requirements/dev.lock
	@$(PIP) install --require-hashes -r requirements/dev.lock
	@touch $@

up: $(VENV)/.run  ## start everything: PostgreSQL, API, worker, beat (ARGS="--state DIR --port N --host H")
	@exec $(BIN)/strongroom up $(ARGS)

lint: $(VENV)/.dev  ## ruff, mypy --strict, import-linter
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

test: $(VENV)/.dev  ## everything but the slow tests, on real servers (PYTEST_ARGS=… goes to pytest)
	@bash tests/services/install.sh
	@$(BIN)/pytest -n 3 --dist loadfile -m "not slow" $(PYTEST_ARGS)

test-slow: $(VENV)/.dev  ## the slow tests: crashes, outages, slow clients, moves (CI runs both)
	@bash tests/services/install.sh
	@$(BIN)/pytest -n 2 --dist loadfile -m slow $(PYTEST_ARGS)

ON_15 := tests/walls tests/db tests/tenants tests/fleet tests/isolation
test-postgres15: $(VENV)/.dev  ## walls, tenancy and migrations on Debian's PostgreSQL 15 (one of the slow tests runs it too)
	@bash tests/services/install.sh
	@STRONGROOM_TEST_POSTGRES=15 $(BIN)/pytest -n 3 --dist loadfile -m "not slow" $(ON_15) $(PYTEST_ARGS)

docs: $(VENV)/.run  ## renew the pages of docs/reference that are made from the code
	@$(BIN)/strongroom reference settings > docs/reference/settings.md
	@$(BIN)/strongroom reference problems > docs/reference/problems.md

format: $(VENV)/.dev  ## let ruff rewrite what it can
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

lock: $(VENV)/.dev  ## renew the lock files from pyproject.toml
	@for kind in run dev build; do \
		case $$kind in run) args=;; dev) args="--extra dev";; build) args="--only-build";; esac; \
		if [ $$kind = build ]; then printf 'hatchling\n' | $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header - -o requirements/build.lock; \
		else $(BIN)/uv pip compile -q --universal --python-version 3.11 --generate-hashes --no-header $$args pyproject.toml -o requirements/$$kind.lock; fi; done

clean:  ## remove the virtual environment and caches (never the state folder)
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
