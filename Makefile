# Each target sets up what it needs; a second call finds it there and is quick.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

# dvc and the stages call `python` and `dvc` by name: those of our environment come first.
export PATH := $(CURDIR)/$(BIN):$(PATH)
# Telemetry of libraries stays off.
export GX_ANALYTICS_ENABLED := false
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: repro test lint format setup clean

repro: $(READY)  ## run the pipeline: only what changed runs again
	python -m afina check
	dvc repro

test: $(READY)  ## run the tests, two files at a time
	python -m pytest -q --numprocesses 2 --dist loadfile --no-loadscope-reorder

lint: $(READY)  ## check style and formatting
	ruff check .
	ruff format --check .

format: $(READY)  ## put the code in shape
	ruff check --fix .
	ruff format .

setup: $(READY)  ## make the environment

$(READY): pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(None if (3, 11) <= sys.version_info < (3, 14) else "Afina needs Python 3.11 to 3.13, this is %d.%d: make PYTHON=python3.12 ..." % sys.version_info[:2])'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[dev]'
# As pip does for what it copies: images that set PYTHONDONTWRITEBYTECODE would compile our modules anew in every stage.
	$(BIN)/python -m compileall -q afina stages
	touch $(READY)

clean:  ## remove the environment and caches of tools; data, models and DVC's cache stay
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis
	find afina stages -name __pycache__ -prune -exec rm -rf {} +
