PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint bench

# Installs again only when the dependencies changed: the stamp is newer than both files.
setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# Finishes, or repeats the report of, a demo that was started before.
demo: setup
	$(BIN)/sparsenas run --out runs/demo $(if $(wildcard runs/demo),--resume)

test: setup
	$(BIN)/python -m pytest -n 2 -q

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy src

bench: setup
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done
