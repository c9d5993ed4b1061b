# Everything runs in one virtual environment, .venv, made from pyproject.toml.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# installed without bytecode, which takes minutes for all of torch; what runs is compiled once, and kept
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo test bench claims lint clean

$(STAMP): pyproject.toml constraints.txt
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --no-compile --constraint constraints.txt --editable '.[dev]'
	@touch $(STAMP)

demo: $(STAMP)  ## install, and run the main job on the pool that comes with cuvee
	$(BIN)/cuvee demo

# with more threads of BLAS, the two processes that run tests would fight for two cores
test: $(STAMP)  ## lint, types and all tests
	$(BIN)/ruff check src tests scripts bench claims
	OPENBLAS_NUM_THREADS=1 $(BIN)/python -m pytest -n 2

lint: $(STAMP)
	$(BIN)/ruff check src tests scripts bench claims
	$(BIN)/ruff format --check src tests scripts bench claims
	$(BIN)/mypy

bench: $(STAMP)  ## side-by-side speed and memory; see bench/README.md for what it needs
	$(BIN)/python -m bench

claims: $(STAMP)  ## rerun the papers' comparisons at small scale, and the league of all methods
	$(BIN)/python -m claims
	$(BIN)/python -m claims.league

clean:
	rm -rf $(VENV) out build dist .mypy_cache .ruff_cache .pytest_cache
