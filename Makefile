# `make repro` and `make test` do all the set-up first; `make help` lists the rest.
SHELL := /bin/bash
PYTHON ?= python3.11
VENV := .venv
BIN := $(VENV)/bin
export PATH := $(CURDIR)/$(BIN):$(PATH)
export GX_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := true
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup repro evaluate miniature test test-fast lint types bench docs clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.ready ## Create the environment in .venv and check that FFmpeg is installed

$(VENV)/.ready: pyproject.toml constraints.txt
	@command -v $(PYTHON) >/dev/null || { echo "Python 3.11 is missing; on Debian: apt-get install python3.11 python3.11-venv, or: make PYTHON=/path/to/python3.11"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip setuptools wheel
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev,docs,evaluation,training,review,publish,ray]'
	bash mma_bench/media/install_ffmpeg.sh
	touch $@

repro: setup ## Build the benchmark: AudioSet's metadata to mma-bench/, as defined in dvc.yaml
	dvc repro

evaluate: setup ## Evaluate the baselines and a tiny random model on the built benchmark (a few minutes)
	dvc repro validate_package evaluation/dvc.yaml

miniature: setup ## The paper's effect on a tiny model: three seeds of up to 10 minutes each, and a page
	@echo "Three seeds of up to 10 minutes each on 2 cores, plus a few minutes of overhead; run it again to resume."
	dvc repro training/miniature/dvc.yaml

test: setup lint types test-fast ## Lint, types and all tests, the fast ones first, including browser tests
	bash tests/install_chromium.sh
	pytest -n 2 --dist loadfile -m slow

test-fast: setup ## The tests that are not marked slow: at most 3 minutes on 2 idle cores
	pytest -n 2 --dist loadfile -m "not slow"

lint: setup # Style, format and import contracts
	ruff check .
	ruff format --check .
	lint-imports

types: setup # Types by mypy; every import by pyright, as editors resolve them
	mypy
	basedpyright --level error

bench: setup ## Print speed ratios against named alternatives
	@for script in benchmarks/*.py; do echo "== $$script"; python $$script || exit 1; done

docs: setup ## Build the documentation site in site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

clean: ## Remove everything the build made, but not the environment
	rm -rf data mma-bench reports metrics site

.PHONY: audit
audit: ## Check the pinned versions against PyPI's advisories (needs pypi.org)
	$(or $(PYTHON),python3.11) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
