# charlm: `make` alone lists the targets.
.DEFAULT_GOAL := help
SHELL := /bin/bash

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(BIN):$(PATH)

# The corpora are looked for here, where nothing else is said: see the README, "Offline".
CHARLM_DATA ?= $(firstword $(foreach folder,data ../shared/data,$(if $(wildcard $(folder)/.),$(abspath $(folder)))))
ifneq ($(CHARLM_DATA),)
export CHARLM_DATA
endif

CONFIG ?= rnn
ARGS ?=
RESUME ?=
CHECKPOINT ?=
PREFIX ?=
PORT ?= 6006
# By the environment, so that whatever a prefix is made of reaches charlm as it is.
export CHECKPOINT PREFIX

.PHONY: help setup train generate tensorboard test lint bench report leaderboard clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: $(STAMP) ## make .venv and install charlm with its tested versions into it

# Anew where the requirements change; what an interrupted set-up left is made anew as well.
$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "charlm needs Python 3.11 or newer: make setup PYTHON=python3.12" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[dev]'
	@touch $@

# A run that goes on has its checkpoint's options, but for those that are given.
OPTIONS = $(if $(RESUME),--ckpt_path last $(if $(filter-out file,$(origin CONFIG)),$(CONFIGURED)),$(CONFIGURED))
CONFIGURED = --config $(CONFIG)

train: setup ## train: CONFIG=rnn (or a file), RESUME=1, ARGS="--trainer.max_epochs 50"
	charlm fit $(OPTIONS) $(ARGS)

generate: setup ## continue PREFIX="time traveller" (none: one from the text) with CHECKPOINT=... (none: the newest)
	@charlm generate $(if $(CHECKPOINT),--checkpoint "$$CHECKPOINT") $(if $(PREFIX),--prefix "$$PREFIX") $(ARGS)

tensorboard: setup ## watch the runs: http://localhost:6006 (PORT=6006)
	tensorboard --logdir lightning_logs --port $(PORT)

# As many processes as there are cores, each with one thread.
test: export OMP_NUM_THREADS := 1
test: setup ## run the tests on all cores (ARGS="-k resume" for some of them)
	python -m pytest --numprocesses auto --dist worksteal $(ARGS)

lint: setup ## ruff, the order of the rooms (import-linter), the type checker
	ruff check .
	ruff format --check .
	lint-imports
	mypy

bench: setup ## measure the speed against the book's loop and torch.nn
	python -m scripts.benchmarks $(ARGS)

report: setup ## answer the book's questions by experiments: reports/exercises (ARGS=--full)
	python -m scripts.report $(ARGS)

leaderboard: setup ## what recipes reach in equal seconds: ARGS="--seconds 104 --seeds 3 --only charlm"
	python -m scripts.leaderboard $(ARGS)

clean: ## remove the environment and the caches; the logs of runs stay
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .hypothesis .mypy_cache .ruff_cache \
		.import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
