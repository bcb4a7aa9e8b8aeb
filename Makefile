# Every target sets up what it needs in .venv; nothing else has to be installed.
PYTHON ?= python3
BIN := .venv/bin
RUN := results/pocket
# In an environment of its own: it needs newer packages than llm-compressor allows.
# In the order of the folders: what takes minutes begins first. More workers would take much memory.
PYTEST := OMP_NUM_THREADS=1 .venv/bin/pytest --numprocesses auto --maxprocesses 4 --dist loadscope \
	--no-loadscope-reorder
GPTQMODEL := gptqmodel==7.7.0 pydantic

.PHONY: demo paper-tiny test test-fast check bench bench-planning lock docs clean
.DEFAULT_GOAL := demo

demo: .venv/installed ## the whole pipeline on the embedded world
	$(BIN)/snakemake --cores all
	$(BIN)/snakemake --cores 1 --report $(RUN)/report.html
	$(BIN)/holdfast show $(RUN)

paper-tiny: .venv/installed ## the paper's jobs on small untrained models, about 15 minutes
	$(BIN)/python tools/paper_tiny.py
	$(BIN)/snakemake --cores all --configfile config/paper.yaml config/paper-tiny.yaml

test: .venv/installed-dev ## all tests
	$(PYTEST)

test-fast: .venv/installed-dev ## unit tests and dry runs
	$(PYTEST) tests/unit tests/workflow

check: .venv/installed-dev ## formatting, lint, types, what may import what, and that generated files are current
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo
	$(BIN)/snakefmt --check Snakefile workflow
	$(BIN)/snakemake --lint
	$(BIN)/pytest -q tests/workflow/test_generated.py

bench: .venv/installed-dev ## time and memory against the plain computations, 18 minutes
	$(BIN)/python -m benchmarks

bench-planning: .venv/installed-dev ## planning of large runs; 500 jobs in a SLURM cluster, as root
	$(BIN)/python -m benchmarks.planning --slurm 500

docs: .venv/installed-dev ## regenerate the JSON schema, config/README.md and the lists of docs/architecture.md
	$(BIN)/python -m holdfast.config.document
	$(BIN)/python tools/architecture.py

lock: ## resolve the pins anew
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet torch==2.13.0
	.venv-lock/bin/pip install --quiet ".[pipeline]" .[dev]
	.venv-lock/bin/python tools/lock.py
	rm -rf .venv-lock && $(PYTHON) -m venv .venv-lock
	.venv-lock/bin/pip install --quiet $(GPTQMODEL)
	.venv-lock/bin/python tools/lock.py gptqmodel $(GPTQMODEL)
	rm -rf .venv-lock

clean: ## remove the environment and the demo's results
	rm -rf .venv $(RUN)

.venv/installed: requirements.lock pyproject.toml
	$(PYTHON) -c 'import sys; sys.version_info >= (3, 11) or sys.exit("holdfast needs Python 3.11 or newer; run make PYTHON=python3.11")'
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --editable .
	touch $@

.venv/installed-dev: .venv/installed requirements-dev.lock
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements-dev.lock
	touch $@
