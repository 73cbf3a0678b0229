# Each target does its own set-up in .venv, from constraints.txt.
PYTHON ?= python3.11
BIN = .venv/bin
INSTALL = $(BIN)/pip install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint bench clean

demo: .venv/demo
	$(BIN)/medembed demo

test: .venv/dev lint
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --no-loadscope-reorder --max-worker-restart=0

lint: .venv/dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

bench: .venv/dev
	$(BIN)/python -m benchmarks.encode
	$(BIN)/python -m benchmarks.encode_overhead
	$(BIN)/python -m benchmarks.encode_large
	$(BIN)/python -m benchmarks.search
	$(BIN)/python -m benchmarks.mine --series
	$(BIN)/python -m benchmarks.train
	$(BIN)/python -m benchmarks.train_faults
	$(BIN)/python -m benchmarks.retrain_faults
	$(BIN)/python -m benchmarks.tune_faults
	$(BIN)/python -m benchmarks.prepare
	$(BIN)/python -m benchmarks.evaluate
	$(BIN)/python -m benchmarks.evaluate_large
	$(BIN)/python -m benchmarks.serve
	$(BIN)/python -m benchmarks.serve_start
	$(BIN)/python -m benchmarks.serve_swap
	$(BIN)/python -m benchmarks.serve_scale
	$(BIN)/python -m benchmarks.serve_overload
	$(BIN)/python -m benchmarks.faults
	$(BIN)/python -m benchmarks.faults_mining

.venv/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	$(INSTALL) torch==2.13.0
	$(INSTALL) --editable .[demo]
	touch $@

.venv/dev: .venv/demo
	$(INSTALL) --editable .[demo,dev]
	touch $@

clean:
	rm -rf .venv build *.egg-info
