# Everything runs in .venv, which the first target that needs it creates, with the first of these
# Pythons that runs and is 3.11 to 3.13 (a shim runs only where it has something to start).
PYTHONS := python3 python3.13 python3.12 python3.11
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
# Says which version a Python is, and fails where it is none of those; every Python can run it.
VERSION := import sys; print("%d.%d" % sys.version_info[:2]); sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))
WHY := tostoolkit needs Python 3.11, 3.12 or 3.13 (no released TensorFlow has a wheel for Python 3.14 yet)
export TF_CPP_MIN_LOG_LEVEL := 3
export CUDA_VISIBLE_DEVICES ?=

.PHONY: help figures notebooks data test test-processor test-browser test-install tables prove lab bench clean
help:  ## show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

$(STAMP): pyproject.toml constraints.txt
	@chosen=; found=; \
	if [ -e $(VENV) ]; then \
	  version=$$($(BIN)/python -c '$(VERSION)' 2>/dev/null) || { \
	    echo "$(WHY), and $(VENV) has $${version:-none that runs}. Type: make clean" >&2; exit 1; }; \
	else \
	  for python in $(or $(PYTHON),$(PYTHONS)); do \
	    if version=$$($$python -c '$(VERSION)' 2>/dev/null); then chosen=$$python; break; fi; \
	    [ -z "$$version" ] || found="$$found $$python, which is $$version;"; \
	  done; \
	  [ "$$chosen" ] || { echo "$(WHY), and here is$${found:- none that runs as $(or $(PYTHON),$(PYTHONS));}" \
	    "install one of these, then type: make PYTHON=python3.13" >&2; exit 1; }; \
	  $$chosen -m venv $(VENV) || { rm -rf $(VENV); exit 1; }; \
	fi
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	@touch $@

figures: $(STAMP)  ## run the notebooks in order (copies go to build/), regenerate figures/, say what moved
	$(BIN)/python notebooks/check.py keep build/committed
	$(BIN)/python notebooks/run.py --out build/notebooks
	$(BIN)/python notebooks/check.py compare build/committed

data: $(STAMP)  ## fetch published measurements into data/external/ (or TOSTOOLKIT_DATA) and check them
	$(BIN)/python -m tostoolkit data --to "$${TOSTOOLKIT_DATA:-data/external}"

notebooks: $(STAMP)  ## the same, and keep the outputs in notebooks/ and README.md (before a commit)
	$(BIN)/python notebooks/run.py --out notebooks
	$(BIN)/python notebooks/readme.py

# A test worker takes up to 2 GB: no more of them than cores, or than four.
test: $(STAMP)  ## run the tests, the notebooks among them
	$(BIN)/python -m pytest -n auto --maxprocesses 4 --dist worksteal

test-processor: $(STAMP)  ## run the tests of numbers and figures again, rounded as another processor does
	$(BIN)/python tests/support/processors.py

test-browser: $(STAMP)  ## check the Report in JupyterLab (needs Debian's chromium and chromium-driver)
	@command -v chromium >/dev/null || { echo "chromium is not here: apt-get install chromium chromium-driver" >&2; exit 1; }
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[browser]'
	$(BIN)/python -m pytest --override-ini addopts= tests/browser

test-install: $(STAMP)  ## install the wheel from the package registry and use it (minutes, 3 GB)
	$(BIN)/python -m pytest -m install tests/test_install.py

tables: $(STAMP)  ## write the cost tables that circuits give
	$(BIN)/python -m tostoolkit tables --out tostoolkit/costs/tables

prove: $(STAMP)  ## prove the counts of keras.applications and KerasHub, and every arithmetic unit (hours)
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[oracle]'
	$(BIN)/python -m pytest -m prove
	$(BIN)/python tests/support/proofs.py

lab: $(STAMP)  ## open the notebooks in JupyterLab
	$(BIN)/jupyter lab notebooks

bench: $(STAMP)  ## speed, side by side with other tools
	@for b in benchmarks/bench_*.py; do $(BIN)/python $$b || exit 1; done

clean:  ## remove the environment and what was built
	rm -rf $(VENV) build *.egg-info .pytest_cache .hypothesis .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
