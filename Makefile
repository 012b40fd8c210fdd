# Two commands: `make repro` re-runs the science, `make test` asserts it. Both set up .venv on first use.
VENV := .venv
PYTHON ?= python3
STAMP := $(VENV)/.installed
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)

.PHONY: repro test arithmetic bench lint lock clean

$(STAMP): requirements.lock pyproject.toml
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

# Everything whose weights can be had here, from scratch; the rest is named with its reason and keeps its evidence.
repro: $(STAMP)
	targets="$$(replicate targets)" && dvc repro --force $$targets
	dvc repro --force --single-item report
	replicate verdicts
	@echo "Scoreboard: reports/scoreboard.md. Metrics that differ from what is committed (nothing below: none):"
	dvc metrics diff --md

# Side by side, one thread each; tests/conftest.py says how many and what stays together.
test: $(STAMP)
	python -m pytest --numprocesses auto --dist loadgroup --no-loadscope-reorder --durations 10

# The tests that compute, by the arithmetic of other processors.
arithmetic: $(STAMP)
	.ci/arithmetic

# Writes reports/benchmarks.json: the engine against its peers and against the matrix products it cannot avoid.
bench: $(STAMP)
	python -m pytest tests/benchmarks --benchmark-only

lint: $(STAMP)
	ruff check . && ruff format --check .

lock:
	pip-compile --quiet --strip-extras --extra test --no-emit-index-url --no-emit-trusted-host --no-emit-find-links \
		--no-emit-options --allow-unsafe --output-file requirements.lock pyproject.toml
	sed -i 's/^\(torch==[0-9.]*\)+cpu/\1/' requirements.lock    # the CPU build has a local version that no index lists

clean:
	rm -rf $(VENV)
