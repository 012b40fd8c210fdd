# Two commands: `make repro` re-runs the science, `make test` asserts it. Both set up .venv on first use.
VENV := .venv
PYTHON ?= python3
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test arithmetic bench lint lock clean

# Everything is checked by hash but torch, which is pinned by version alone: its builds (CPU, CUDA, a vendor's) differ
# in bytes, and which one fits is a matter of the machine. It comes first, with what only its build needs.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet "$$(grep -o 'torch==[0-9.]*' pyproject.toml)"
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(VENV)/bin/python -m pip check
	touch $@

# Everything that can be had here, from scratch, side by side; the rest is named with what is missing and keeps its
# evidence. Ends with how far the run is from the committed evidence, and fails when that does not reproduce.
repro: $(STAMP)
	replicate repro --force

# Side by side, one thread each; tests/running.py says how many and what stays together. What pytest makes of the
# tests' assertions is kept, whatever the environment says: a third of the time that collecting takes.
test: export PYTHONDONTWRITEBYTECODE =
test: $(STAMP)
	python -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder --durations 10

# The tests that compute, by the arithmetic of other processors.
arithmetic: $(STAMP)
	.ci/arithmetic all

# Writes reports/benchmarks.json: the engine and training programs against their peers and the matrix products they
# cannot avoid. `dvc repro report` makes a page of it.
bench: $(STAMP)
	python -m pytest tests/benchmarks --benchmark-only

lint: $(STAMP)
	ruff check . && ruff format --check . && python -m mypy

# Takes minutes: pip-compile reads every file whose hash the index does not state. torch is left out, see above.
lock:
	pip-compile --quiet --strip-extras --extra test --generate-hashes --unsafe-package torch --no-emit-index-url \
		--no-emit-trusted-host --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml
	sed -i '/^# WARNING: The following packages were not pinned/,$$d' requirements.lock

clean:
	rm -rf $(VENV)
