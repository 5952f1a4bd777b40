# `make repro` and `make test` do the set-up that they need first; `make help` lists the rest.
SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
export PYTHON
export PATH := $(CURDIR)/$(BIN):$(PATH)
export GX_ANALYTICS_ENABLED := false
export DVC_NO_ANALYTICS := true
export HF_HUB_DISABLE_TELEMETRY := 1

.PHONY: help setup setup-all repro evaluate miniature test test-fast lint types lowest lock bench bench-gpu docs clean

help: ## List the commands
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

setup: $(VENV)/.ready-build ## Create .venv with what the build needs (6.2 GB, most of it torch), and FFmpeg

setup-all: $(VENV)/.ready-all ## Add to .venv what everything else needs (8.1 GB in all)

$(VENV)/.ready-build: pyproject.toml constraints-build.txt
	@.ci/install constraints-build.txt
	@touch $@

$(VENV)/.ready-all: pyproject.toml constraints.txt
	@.ci/install constraints.txt
	@touch $@ $(VENV)/.ready-build

repro: setup ## Build the benchmark: AudioSet's metadata to mma-bench/, as defined in dvc.yaml
	@.ci/repro

evaluate: setup-all ## Evaluate the baselines and a tiny random model on the built benchmark (a few minutes)
	dvc repro validate_package evaluation/dvc.yaml

miniature: setup-all ## The paper's effect on a tiny model: three seeds of 10 to 20 minutes each, and a page
	@echo "Three seeds of 10 to 20 minutes each on 2 cores, plus a few minutes of overhead; run it again to resume."
	dvc repro training/miniature/dvc.yaml

test: setup-all lint types test-fast ## Lint, types and all tests, the fast ones first, including browser tests
	bash tests/install_chromium.sh
	pytest -n 2 --dist loadfile -m slow

test-fast: setup-all ## The tests that are not marked slow: 10 to 12 minutes on 2 cores
	pytest -n 2 --dist loadfile -m "not slow"

lint: setup-all # Style, format and import contracts
	ruff check .
	ruff format --check .
	lint-imports

types: setup-all # Types by mypy; every import by pyright, as editors resolve them
	mypy
	basedpyright --level error

lowest: setup-all ## Test the base with the oldest versions that pyproject.toml allows, in an environment of its own
	.ci/lowest

lock: setup-all ## Write the constraints files from pyproject.toml; versions that still fit stay
	.ci/lock

bench: setup-all ## Print speed ratios against named alternatives
	@for script in $(filter-out benchmarks/gpu.py benchmarks/scale.py,$(wildcard benchmarks/*.py)); do echo "== $$script"; python $$script || exit 1; done

bench-gpu: setup-all ## Time the local engine, attend and train on a GPU of 80 GB, in at most 8 minutes
	python benchmarks/gpu.py --out results/gpu

docs: setup-all ## Build the documentation site in site/
	NO_MKDOCS_2_WARNING=1 mkdocs build --strict --quiet

clean: ## Remove everything the build made, but not the environment
	rm -rf data mma-bench reports metrics site

.PHONY: audit
audit: ## Check the pinned versions against PyPI's advisories (needs pypi.org)
	$(or $(PYTHON),python3.11) -m venv $(VENV)/audit
	$(VENV)/audit/bin/python -m pip install --quiet pip-audit
	$(VENV)/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt
