PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test lint docs wheel bench

# Installs again only when the dependencies changed: the stamp is newer than both files.
setup: .venv/.installed

.venv/.installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

# The main job on real data; begins runs/demo, or finishes what was interrupted.
demo: setup
	$(BIN)/sparsenas run --space.width 8 --budget 'flops<=40e3' --score.by loss --score.shrink 0.5 --threads 1 --out runs/demo --resume

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -q

lint: setup
	$(BIN)/python -m ruff check .
	$(BIN)/python -m ruff format --check .
	$(BIN)/python -m mypy src

# The site, in build/site; a warning is an error.
docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --quiet

# Builds the wheel, installs it in a clean environment and runs a small job there; takes minutes.
wheel: setup
	$(BIN)/python .ci/wheel.py -c constraints.txt

bench: setup
	set -e; for file in benchmarks/*.py; do echo "== $$file"; $(BIN)/python "$$file"; done
