# Two commands do all set-up: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
BEGUN := $(VENV)/.installing

# One thread per process: spinning threads of several libraries cost more than they bring.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint install clean

install: $(STAMP)

# Packages that an interrupted installation left half written would break the next one.
$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -c "import sys; sys.exit('Python 3.11 or newer is needed, this is %d.%d' % sys.version_info[:2] if sys.version_info < (3, 11) else 0)"
	if [ -e $(BEGUN) ]; then rm -rf $(VENV); fi
	$(PYTHON) -m venv $(VENV)
	touch $(BEGUN)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[dev]"
	mv $(BEGUN) $(STAMP)

demo: $(STAMP)
	$(BIN)/enecg demo --out demo

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo

test: lint
	$(BIN)/python -m pytest -n 2 --dist loadfile

clean:
	rm -rf $(VENV) demo .pytest_cache .mypy_cache .ruff_cache
