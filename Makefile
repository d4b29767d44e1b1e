# Everything runs in .venv, which the first target that needs it creates.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
export TF_CPP_MIN_LOG_LEVEL := 3
export CUDA_VISIBLE_DEVICES ?=

.PHONY: help figures notebooks test test-browser tables prove lab bench clean
help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

figures: $(STAMP)  ## run the notebooks in order (copies go to build/) and regenerate figures/
	$(BIN)/python notebooks/run.py --out build/notebooks

notebooks: $(STAMP)  ## the same, and keep the outputs in notebooks/ and README.md (before a commit)
	$(BIN)/python notebooks/run.py --out notebooks
	$(BIN)/python notebooks/readme.py

test: $(STAMP)  ## run the tests, the notebooks among them
	$(BIN)/python -m pytest

test-browser: $(STAMP)  ## check the Report in JupyterLab (needs Debian's chromium and chromium-driver)
	@command -v chromium >/dev/null || { echo "chromium is not here: apt-get install chromium chromium-driver" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest --override-ini addopts= tests/browser

tables: $(STAMP)  ## write the cost tables that circuits give
	$(BIN)/python -m tostoolkit.circuits tables

prove: $(STAMP)  ## prove the counts of keras.applications, and every arithmetic unit (half an hour)
	$(BIN)/python -m pytest -m prove
	$(BIN)/python -m tostoolkit.circuits prove

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

bench: $(STAMP)  ## speed, side by side with other tools
	@for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
