# Two commands for a newcomer: `make up` runs the product, `make test` proves it. `make help` lists the rest.
.DEFAULT_GOAL := help
.PHONY: help setup up check test sim bench lock
BIN := .venv/bin
SEEDS ?= 2000
JOBS ?= 2

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/  make \1\t\2/p' Makefile

setup: ## install into .venv, start nothing
	@scripts/setup

up: setup ## run the product on this machine (UP="--port 8081 --data DIR" for its flags)
	@$(BIN)/blockline up $(UP)

check: setup ## the inner loop, under a minute: style, types, layers, fast tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/unit tests/golden tests/architecture

test: check ## every tier, everything it needs installed
	$(BIN)/pytest -q tests/property tests/simulation tests/integration
	$(BIN)/python -m tests.real run $(BIN)/pytest -q tests/contract tests/real_systems

sim: setup ## the simulator on its own (SEEDS=100000 JOBS=2)
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) --jobs $(JOBS)

bench: setup ## the numbers, as tables
	$(BIN)/python -m benchmarks

lock: setup ## choose versions anew and write requirements.lock (names, versions and hashes; no place, so a mirror serves)
	.tools/bin/uv -q pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --no-header --upgrade -o requirements.lock
