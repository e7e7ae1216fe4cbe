# Every target makes .venv with pinned versions by itself; nothing but Python 3.11+, make and a C compiler is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed

.PHONY: quickstart check test test-slow format wheel clean

quickstart: $(INSTALLED)
	$(BIN)/sycoca quickstart --restart

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile -m "not slow and not compiled"

test-slow: $(INSTALLED)
	$(BIN)/pytest -q -m "slow and not compiled"
	JAXTYPING_DISABLE=1 $(BIN)/pytest -q -m compiled

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(INSTALLED)
	$(BIN)/python -m build --wheel

clean:
	rm -rf $(VENV) build dist

# torch's exact version is pinned by hand in constraints.txt: an open one can bring gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@
