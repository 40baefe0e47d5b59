# make demo: set up .venv and run the main job on built-in data.    make test: set up .venv and run the tests.
# make docs: set up .venv and build the documentation into build/docs/index.html.
PYTHON ?= python3
BIN := .venv/bin
SOURCES := $(shell find core backends benchmarks -name '*.py') core/py.typed

.PHONY: demo test docs install clean

demo: install
	$(BIN)/handgrad demo

test: install
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Without a network; a warning is an error.
docs: install
	$(BIN)/python -m sphinx --builder html --fail-on-warning --fresh-env --quiet docs build/docs
	@echo "open build/docs/index.html"

install: .venv/installed

.venv/dependencies: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "handgrad needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	@echo "installing what the tests and the demo need into .venv (PyTorch and JAX among it: minutes, once)"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt setuptools
	rm -rf build *.egg-info
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt ".[test]"
	touch $@

# Not editable, so that what is tested is what is shipped; a stale build folder would ship what was deleted.
.venv/installed: .venv/dependencies $(SOURCES) README.md
	rm -rf build *.egg-info
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --force-reinstall .
	rm -rf build *.egg-info
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
