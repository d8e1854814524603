# make course   run every notebook and build build/course/index.html
# make test     every check
# make lab      open JupyterLab on the first notebook
# make refresh  run the notebooks and store their outputs in them
# make bench    measure speed and quality (makes an environment of its own for the peers)
# make setup    only make the environment, .venv
#
# PYTHON=python3.12 chooses the interpreter; ONLY=00_tour limits course and refresh to some notebooks.

PYTHON ?= python3
BIN := .venv/bin
# Notebooks show what their code says, not what the runtime mutters.
export PYTHONHASHSEED := 0
# Notebooks run in their own folder, where a relative path would lead elsewhere.
ifdef RECLAB_DATA
export RECLAB_DATA := $(abspath $(RECLAB_DATA))
endif
export HF_HUB_DISABLE_PROGRESS_BARS := 1
# Fewer pools of memory that glibc keeps for later: a notebook that trains needs 100 MB less.
export MALLOC_ARENA_MAX := 2

.PHONY: course test lint lab refresh bench setup lock clean

course: setup
	@$(BIN)/python notebooks/run.py course $(ONLY)

test: setup lint
	@$(BIN)/python -m pytest tests
	@$(BIN)/python -m pytest reclab --doctest-modules
	@$(BIN)/python -m pytest notebooks --nbval --nbval-cell-timeout 300

lint: setup
	@$(BIN)/ruff check --quiet .
	@$(BIN)/ruff format --check --quiet . || { echo 'Not formatted: run .venv/bin/ruff format .'; exit 1; }

lab: setup
	@$(BIN)/jupyter lab notebooks/00_tour.ipynb

refresh: setup
	@$(BIN)/python notebooks/run.py refresh $(ONLY)

bench: setup
	@$(BIN)/python -m tests.benchmarks.run
	@$(BIN)/python -m tests.benchmarks.tuning
	@$(BIN)/python -m tests.benchmarks.intents
	@$(BIN)/python -m tests.benchmarks.rankers
	@$(BIN)/python -m tests.benchmarks.ranking

setup:
	@$(PYTHON) -c '' 2>/dev/null || { echo '$(PYTHON) does not run here: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) bootstrap.py $(if $(filter command environment,$(firstword $(origin PYTHON))),--exactly)

# Writes requirements.lock anew from requirements.txt, for every platform and Python that is supported.
lock: setup
	@$(PYTHON) -m venv build/uv && build/uv/bin/pip install --quiet uv==0.13.8
	@build/uv/bin/uv pip compile requirements.txt --output-file requirements.lock --quiet \
		--universal --python-version 3.11 --generate-hashes --no-annotate --no-header

clean:
	rm -rf .venv build
