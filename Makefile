# Every target works from a bare clone: Python 3.11+ and make are all it takes.
PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
READY  := $(VENV)/.ready
# Tests mostly wait for processes to start: two of their files at a time.
TESTS  := $(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder

.PHONY: help setup demo test chaos guard check docs clean
help:            ## what can be made
	@grep -hE '^[a-z]+: .*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/'

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("kirl needs Python 3.11 or newer, this is " + sys.version.split()[0] + "; try make PYTHON=python3.12" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev,bench]'
	@touch $@

setup: $(READY)  ## install everything into .venv

demo: $(READY)   ## prepare synthetic flows, train ppo and ppo-kg, compare them, draw demo/index.html
	$(BIN)/kirl demo --out demo

test: $(READY)   ## run the tests
	$(TESTS)

chaos: $(READY)  ## kill processes at random during training, and count every flow (minutes)
	$(BIN)/python -m pytest -m slow

guard: $(READY)  ## race kirl against its peers for a minute, and tell if a ratio has changed
	$(BIN)/kirl bench guard

check: $(READY)  ## lint, types, tests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(TESTS)

docs: $(READY)   ## build the documentation site into site/
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

clean:           ## remove .venv, caches, site and demo output
	rm -rf $(VENV) demo site .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info
