# make demo: set up, run the complete digits experiment, write a report.
# make test: set up, then run formatter, linter, type checker and tests.
# make slow: run the tests that take minutes.
# make soak: kill trainings at KILLS random moments and check that the resumed
#   runs end with the same results.

PYTHON ?= $(shell for p in python3.12 python3.11 python3; do \
  $$p -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 12))' \
  2>/dev/null && command -v $$p && break; done)
BIN := .venv/bin
WORKDIR ?= runs/digits

KILLS ?= 40

.PHONY: demo test slow soak lint setup clean
.DEFAULT_GOAL := test

setup: .venv/installed

.venv/installed: setup.py $(wildcard requirements/*.txt)
	@test -n "$(PYTHON)" || { echo 'make: no Python 3.11 or 3.12 found;' \
	  'install one or name it: make PYTHON=/path/to/python3.12' >&2; exit 1; }
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  -r requirements/lock-py$$($(BIN)/python -c \
	  'import sys; print("%d%d" % sys.version_info[:2])').txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check \
	  --no-deps --no-build-isolation --editable .
	touch $@

demo: setup
	$(BIN)/python -m launch.pipeline --config=configs/digits.py \
	  --workdir=$(WORKDIR)

lint: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

# One worker for each core; the tests of a file share their trainings.
test: lint
	$(BIN)/python -m pytest -n auto --dist loadfile --no-loadscope-reorder

slow: setup
	$(BIN)/python -m pytest -m slow

soak: setup
	SOAK_KILLS=$(KILLS) $(BIN)/python -m pytest tests/launch/test_soak.py

clean:
	rm -rf .venv build dist *.egg-info
