# `make demo` and `make test` are all that a newcomer needs. Only python3 (3.11 or later) and make are assumed.
.DELETE_ON_ERROR:
.PHONY: demo test emulator beside waiting types tests-plans tests-together tests-local tests-alone
.PHONY: fmt docs bench up lock clean
PYTHON ?= python3
BIN := .venv/bin
READY := .venv/ready
STACK ?= dev
PYTEST := $(BIN)/python -m pytest
# Runs a command in the time that nothing else wants.
IDLY := $(BIN)/python -c 'import os, sys; os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0)); \
  os.execv(sys.argv[1], sys.argv[1:])'

# Every process of the tests starts sooner where what Python compiled once is kept.
unexport PYTHONDONTWRITEBYTECODE

# Runs a command, and says how long it took.
define timed
@begin=$$(date +%s); $(2); status=$$?; echo "   $$(($$(date +%s) - begin)) s  $(1)"; exit $$status
endef

demo: emulator
	$(BIN)/python -m local demo

test: emulator
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	@$(MAKE) --no-print-directory tests-together
	@$(MAKE) --no-print-directory --jobs=2 waiting beside

# The local AWS's own environment: made by one process, before several want it.
emulator: $(READY)
	@$(BIN)/python -c "from local import emulator, say; emulator.ensure_environment(say.Say())"

# What waits more than it works, and what only computes.
waiting: emulator
	@$(MAKE) --no-print-directory tests-local
	@$(MAKE) --no-print-directory tests-alone

beside: emulator
	@$(MAKE) --no-print-directory types
	@$(MAKE) --no-print-directory tests-plans

types: $(READY)
	$(call timed,types,$(IDLY) $(BIN)/mypy)

tests-plans: emulator
	$(call timed,tests of plans and templates,$(IDLY) $(PYTEST) tests/component tests/velocity)

tests-together: emulator
	$(call timed,tests in several processes,$(PYTEST) --numprocesses=3 tests/unit tests/storage tests/package --cov)

tests-local: emulator
	$(call timed,tests on the local AWS,$(PYTEST) --numprocesses=3 tests/local -m "not clock")

# These look at the clock, and have the machine to themselves but for what has time.
tests-alone: emulator
	$(call timed,tests on the local AWS that look at the clock,$(PYTEST) tests/local -m clock)

fmt: $(READY)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

# Measures on this machine, prints a table and writes benchmarks/results.json; about 11 minutes.
bench: $(READY)
	$(BIN)/python -m benchmarks

# Writes the tables in docs/ from the components' docstrings.
docs: $(READY)
	$(BIN)/python docs/reference.py

up: $(READY)
	pulumi up --stack $(STACK)

$(READY): requirements/uv.txt requirements/dev.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements/dev.txt
	touch $@

# Raises every pin to the newest version that fits.
lock: $(READY)
	$(BIN)/uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate -p 3.11 requirements/runtime.in -o requirements.txt
	$(BIN)/uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate -p 3.11 -c requirements.txt requirements/dev.in -o requirements/dev.txt
	$(BIN)/uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate -p 3.11 requirements/emulator.in -o requirements/emulator.txt
	$(BIN)/uv pip compile -q -U --universal --generate-hashes --no-header --no-annotate -p 3.11 requirements/uv.in -o requirements/uv.txt
	$(BIN)/uv pip compile -q -U --generate-hashes --no-header --no-annotate -p 3.13 handlers/layers/consumer.in -o handlers/layers/consumer.txt
	$(BIN)/uv pip compile -q -U --generate-hashes --no-header --no-annotate -p 3.13 handlers/layers/jwt_authorizer.in -o handlers/layers/jwt_authorizer.txt
	$(BIN)/uv pip compile -q -U --generate-hashes --no-header --no-annotate -p 3.13 handlers/layers/retrier.in -o handlers/layers/retrier.txt

clean:
	rm -rf .venv .local .pytest_cache .mypy_cache .ruff_cache .coverage .coverage.*
