# The developer's whole interface. `make demo` and `make test` need no step before them.
SHELL := /bin/bash
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
ASSETS := $(VENV)/.assets

.PHONY: install demo lab test lint types bench faults fuzz docs check-js clean

install: $(STAMP) $(ASSETS)

$(STAMP): pyproject.toml constraints.txt hatch_build.py
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --upgrade pip
	$(BIN)/python -m pip install --quiet --constraint constraints.txt --editable '.[test]'
	touch $@

# A change to the front end is built again without a new install.
$(ASSETS): $(STAMP) $(shell find widgets/src widgets/package.json widgets/build.mjs -type f 2>/dev/null)
	$(BIN)/python hatch_build.py
	touch $@
