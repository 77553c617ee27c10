# rft3d: `make demo` and `make test` build their own environment in .venv on a fresh machine.
# Another Python: `make demo PYTHON=python3.12`. Another place for results: `make demo OUT=runs/mine`.

PYTHON ?= python3
OUT ?= runs/demo
QUICK_OUT ?= runs/quick
RESULTS ?= runs/experiments
HOURS ?= 12
AT_ONCE ?= 2
PYTEST_ARGS ?= -n 2 --dist loadfile
BIN := .venv/bin
TORCH := $(shell sed -n 's/^# \(torch==[^ ]*\).*/\1/p' constraints.txt)

# One thread a process: the tests run in parallel processes, and two thread pools on two cores only fight.
TEST_ENV := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1 TOKENIZERS_PARALLELISM=false

.PHONY: help demo demo-quick weights results results-quick test test-oldest lint format nightly fuzz bench docs pin clean distclean python-check
.DEFAULT_GOAL := help

help:  ## this list
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 14

demo: .venv/.stamp  ## headroom, then more SFT and RFT side by side from the shipped policy; table, picture, report: about 10 minutes
	$(BIN)/rft3d demo --out $(OUT)

demo-quick: .venv/.stamp  ## the same with a few steps, in at most 3 minutes
	$(BIN)/rft3d demo --quick --out $(QUICK_OUT)

weights: .venv/.stamp  ## rooms-sft again from nothing: hours, resumable; the new files are in runs/weights/shipped
	$(BIN)/python recipes/weights/rooms.py --out runs/weights

# Exit code 3 says that the time was up: the page is written all the same, and the next night goes on.
results: .venv/.stamp-dev  ## every claim of docs/results.md: HOURS=12 (resumable), AT_ONCE=2 arms at once, then the page
	$(BIN)/rft3d experiment run --out $(RESULTS) --hours $(HOURS) --at-once $(AT_ONCE) || [ $$? -eq 3 ]
	$(BIN)/rft3d experiment table --out $(RESULTS)

results-quick: .venv/.stamp-dev  ## every arm at a tiny size: shows that it runs, its numbers mean nothing
	$(BIN)/rft3d experiment run --quick --out $(RESULTS)-quick --at-once 2
	$(BIN)/rft3d experiment table --quick --out $(RESULTS)-quick --page $(RESULTS)-quick/results.md

test: lint  ## style, floors, types, then the default test suite
	$(TEST_ENV) $(BIN)/python -m pytest -m "not slow and not gpu" $(PYTEST_ARGS)

lint: .venv/.stamp-dev  ## ruff, import-linter, pyright
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/pyright

format: .venv/.stamp-dev  ## let ruff rewrite what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

nightly: lint  ## every test that needs no accelerator, more random cases, run-time type checks, oldest versions, benchmarks
	RFT3D_KILLS=100 RFT3D_DAMAGE=1000 RFT3D_FUZZ=100000 RFT3D_TYPECHECK=1 HYPOTHESIS_PROFILE=nightly $(TEST_ENV) $(BIN)/python -m pytest -m "not gpu" $(PYTEST_ARGS)
	$(MAKE) fuzz
	$(MAKE) test-oldest
	$(MAKE) results-quick
	$(MAKE) bench

fuzz: python-check  ## the reader of annotation pickles against a coverage-guided fuzzer, ten minutes in an environment of its own
	$(PYTHON) -m venv .venv-fuzz
	.venv-fuzz/bin/python -m pip install --quiet --editable . atheris pytest
	.venv-fuzz/bin/python .ci/fuzz_pickle.py -max_total_time=600

test-oldest: python-check  ## models and training on the oldest torch and transformers that pyproject.toml allows
	$(PYTHON) -m venv .venv-oldest
	.venv-oldest/bin/python -m pip install --quiet torch==2.11.0 transformers==5.17.0 --editable '.[train]' \
	  pytest hypothesis beartype packaging tensorboard trl==1.16.0
	$(TEST_ENV) .venv-oldest/bin/python -m pytest tests/models tests/training tests/equality \
	  -m "not slow and not gpu" --ignore tests/training/test_golden.py \
	  --deselect tests/training/test_weights.py::test_the_first_steps_stay_what_they_were

bench: .venv/.stamp-dev  ## every benchmark but the full-size one, one after another (leave the machine alone meanwhile)
	@set -e; for file in $(filter-out %/full_size.py,$(wildcard benchmarks/*.py)); do echo "== $$file"; $(TEST_ENV) $(BIN)/python $$file; done

docs: .venv/.stamp  ## the documentation site with an API reference and search: site/ (serve it for the search)
	$(PIP) --no-build-isolation --editable '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

pin: .venv/.stamp-dev  ## write constraints*.txt from this environment, after a deliberate upgrade
	$(BIN)/python -m pip install --quiet --upgrade --target build/pin uv
	$(BIN)/python .ci/pin.py

# Hashed lists first, whole (constraints.txt says why torch stands by itself), then what is ours, which has no hash.
# The demo needs less than the tests, and should not wait for what it does not use.
PIP := $(BIN)/python -m pip install --quiet
HASHED := $(PIP) --require-hashes --no-deps --requirement

.venv/.stamp: pyproject.toml constraints.txt | python-check
	$(PYTHON) -m venv .venv
	$(HASHED) constraints.txt
	$(PIP) '$(TORCH)'
	$(PIP) --no-deps --no-build-isolation --editable .
	touch $@

.venv/.stamp-dev: .venv/.stamp constraints-dev.txt
	$(HASHED) constraints-dev.txt
	$(BIN)/python -m pip check
	touch $@

python-check:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "rft3d needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 || true)." \
	       "Install one and say which: make PYTHON=python3.12 ..." >&2; exit 1; }

clean:  ## remove caches and build leftovers; results in runs/ stay
	rm -rf build dist site .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests examples benchmarks recipes .ci -name __pycache__ -type d -prune -exec rm -rf {} +

distclean: clean  ## remove the environment too
	rm -rf .venv .venv-oldest .venv-fuzz src/rft3d.egg-info
