# Two commands do everything: `make run` and `make test`.
PYTHON ?= python3
VENV ?= .venv
BIN = $(VENV)/bin
SUITE ?= quickstart

.PHONY: install run test pytest test-fast test-all interpreted docs faults lint format clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[dev]"
	touch $@

run: install
	$(BIN)/sparsebench run $(SUITE)
	$(BIN)/sparsebench report latest -o .sparsebench/report/index.html -o .sparsebench/report/index.md
	@echo "report: .sparsebench/report/index.html, and index.md beside it"

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

# mypy takes one core for a minute; meanwhile the tests begin on the other.
test: install
	$(MAKE) -j 2 lint interpreted pytest

pytest: install
	$(BIN)/python -m pytest -n 2

# The loop of work: no process, no compilation, no lint.
test-fast: install
	$(BIN)/python -m pytest -q -n 2 -m "not slow and not minutes"

# The kernels as plain Python.
interpreted: install
	NUMBA_DISABLE_JIT=1 $(BIN)/python -m pytest -q -m "" tests/plugins/test_numba_kernels.py

test-all: lint
	$(BIN)/python -m pytest -n 2 -m ""

docs: $(VENV)/.docs
	$(BIN)/mkdocs build

$(VENV)/.docs: $(VENV)/.installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e ".[docs]"
	touch $@

faults: install
	$(BIN)/python tests/faults/campaign.py $(FAULTS)

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf $(VENV) .pytest_cache .mypy_cache .ruff_cache .hypothesis .benchmarks dist site
