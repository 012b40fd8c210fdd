# Two commands: `make repro` re-runs the science, `make test` asserts it. Both set up .venv on first use.
VENV := .venv
PYTHON ?= python3
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test bench lint lock clean

# Everything is checked by hash but torch, which is pinned by version alone: its builds (CPU, CUDA, a vendor's) differ
# in bytes, and which one fits is a matter of the machine. It comes first, with what only its build needs.
$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet "$$(grep -o 'torch==[0-9.]*' pyproject.toml)"
	$(VENV)/bin/python -m pip install --quiet --no-deps --require-hashes --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	$(VENV)/bin/python -m pip check
	touch $@

# Everything whose weights can be had here, from scratch; the rest is named with its reason and keeps its evidence.
repro: $(STAMP)
	targets="$$(replicate targets)" && dvc repro --force $$targets
	dvc repro --force --single-item report
	replicate verdicts
	@echo "Scoreboard: reports/scoreboard.md. Metrics that differ from what is committed (nothing below: none):"
	dvc metrics diff --md

test: $(STAMP)
	python -m pytest

# Writes reports/benchmarks.json: the engine against its peers and against the matrix products it cannot avoid.
bench: $(STAMP)
	python -m pytest tests/benchmarks --benchmark-only

lint: $(STAMP)
	ruff check . && ruff format --check .

# Takes minutes: pip-compile reads every file whose hash the index does not state. torch is left out, see above.
lock:
	pip-compile --quiet --strip-extras --extra test --generate-hashes --unsafe-package torch --no-emit-index-url \
		--no-emit-trusted-host --no-emit-find-links --no-emit-options --output-file requirements.lock pyproject.toml
	sed -i '/^# WARNING: The following packages were not pinned/,$$d' requirements.lock

clean:
	rm -rf $(VENV)
