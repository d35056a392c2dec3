# Everything from a bare machine with Python 3.11 or newer and make: `make demo`, then `make test`.

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test coverage faults soak lint bench lock clean

VENV := .venv
BIN := $(VENV)/bin
SEEDS := 100
PACKAGES := overnight jobs worker scheduler sandbox migrations
# Doubly quiet, or it would repeat the warnings of whatever pip is configured on the machine.
PIP := $(BIN)/python -m pip -qq --disable-pip-version-check --no-input
LOCK := uv pip compile --quiet --universal --generate-hashes --no-header --no-annotate --python-version 3.11 \
	--extra postgres pyproject.toml

help:
	@echo "make demo      rehearse a small batch against the sandbox; nothing is bought"
	@echo "make test      set up, lint, type-check, run all tests but the longest"
	@echo "make coverage  the same tests, and which branches they never take; takes twice as long"
	@echo "make faults    processes killed, wires cut, an API that misbehaves: all of tests/faults"
	@echo "make soak      nights of blows from random seeds, SEEDS=100 of them; takes hours"
	@echo "make lint      what make test does before the tests"
	@echo "make bench     how fast it is and what it costs this machine, beside what others use; takes two hours"
	@echo "make lock      choose new versions of the dependencies (needs uv)"
	@echo "make clean     remove what make made; databases and images stay"

demo: $(VENV)/.installed
	$(BIN)/overnight run jobs/examples/sketch-mountains.yaml --api sandbox --yes

TESTS := $(BIN)/python -m pytest -n 3 --dist worksteal -m "not long" --doctest-modules \
	tests jobs overnight worker scheduler sandbox

test: lint
	$(TESTS)

# Apart from `test`: to note every branch doubles what the tests cost.
coverage: $(VENV)/.installed-dev
	$(TESTS) --cov --cov-report=term-missing:skip-covered

# They mostly wait, so twice as many as there are processors cost little.
faults: $(VENV)/.installed-dev
	SEEDS=2000 $(BIN)/python -m pytest -n 4 --dist worksteal tests/faults

soak: $(VENV)/.installed-dev
	$(BIN)/python -m tests.faults.chaos --seeds $(SEEDS) --beside 4

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/deptry .
	$(BIN)/vulture --min-confidence 80 $(PACKAGES)

bench: $(VENV)/.installed-dev
	$(BIN)/python -m benchmarks.throughput
	$(BIN)/python -m benchmarks.pace
	$(BIN)/python -m benchmarks.workers
	$(BIN)/python -m benchmarks.load --database sqlite
	$(BIN)/python -m benchmarks.load --database postgresql
	$(BIN)/python -m benchmarks.endurance
	$(BIN)/python -m benchmarks.scale --database sqlite
	$(BIN)/python -m benchmarks.scale --database postgresql
	$(BIN)/python -m benchmarks.compare --markdown benchmarks/RESULTS.md

# One environment for both: what the demo needs is a part of what the tests need. A lock lists all that is installed,
# so pip is not to choose: one that came with an older Python takes a newer release for an extra, and refuses it.
$(VENV)/.installed: requirements.lock pyproject.toml $(VENV)/.made
	$(PIP) install --require-hashes --no-deps -r requirements.lock
	$(PIP) install --no-deps --no-build-isolation -e .
	@touch $@

$(VENV)/.installed-dev: requirements-dev.lock $(VENV)/.installed
	$(PIP) install --require-hashes --no-deps -r requirements-dev.lock
	@touch $@

# A name on the PATH may be a mere shim that starts nothing, so each is tried.
$(VENV)/.made:
	@for python in python3 python3.13 python3.12 python3.11 none; do \
		$$python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && break; \
	done; \
	if [ $$python = none ]; then \
		echo "make: Python 3.11 or newer is needed; on Debian or Ubuntu: apt install python3" >&2; exit 1; \
	elif ! $$python -c 'import ensurepip, venv' 2>/dev/null; then \
		echo "make: $$python has no venv module; on Debian or Ubuntu: apt install python3-venv" >&2; exit 1; \
	fi; \
	$$python -m venv $(VENV) && touch $@

lock:
	$(LOCK) --group build --output-file requirements.lock
	$(LOCK) --group build --group dev --output-file requirements-dev.lock

clean:
	rm -rf $(VENV) .venv-peers build dist .coverage* .hypothesis .mypy_cache .pytest_cache .ruff_cache .import_linter_cache
	find $(PACKAGES) tests -name __pycache__ -prune -exec rm -rf {} +
