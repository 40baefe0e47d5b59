# make demo: set up .venv with what the demo shows, and run it.
# make test: set up .venv with what the tests need, and run them.
# make tables: run what README.md and docs/ show, and say where it prints something else than they say.
# make docs: set up .venv likewise, and build the documentation into build/docs/index.html.
PYTHON ?= python3
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off --no-compile
PINNED := $(PIP) --constraint constraints.txt
SOURCES := $(shell find core backends benchmarks -name '*.py') core/py.typed

# Beside what takes minutes: every four seconds, until the shell of its line has ended, how much there is by now.
TICKS = (while sleep 4 && kill -0 $$$$ 2>&-; do echo "... $$(du -sm .venv 2>&- | cut -f1) MB in .venv"; done) &

.PHONY: demo test docs tables install clean
.NOTPARALLEL:  # one pip at a time

# A module is compiled when it is first used, and kept: most of what is installed never is.
demo: export PYTHONDONTWRITEBYTECODE =
demo: .venv/demo .venv/installed
	$(BIN)/handgrad demo

test: install
	$(BIN)/python -m pytest --numprocesses auto --dist worksteal

# Without a network; a warning is an error.
docs: install
	$(BIN)/python -m sphinx --builder html --fail-on-warning --fresh-env --quiet docs build/docs
	@echo "open build/docs/index.html"

# As the pages say it is printed, and as it is printed now; make tables ARGUMENTS="--long --write docs/backends.md"
tables: install
	$(BIN)/python tests/tables.py $(ARGUMENTS)

install: .venv/test .venv/installed

.venv/demo: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "handgrad needs Python 3.11 or newer: make PYTHON=...")'
	@echo "installing what the demo shows into .venv: PyTorch and JAX among it, 1.5 GB, minutes, once"
	@$(TICKS) $(PYTHON) -m venv .venv
	rm -rf build *.egg-info
	@$(TICKS) $(PINNED) setuptools && $(PINNED) --no-build-isolation ".[demo]"
	touch $@

# Its processes are many, and all of them begin by importing.
.venv/test: .venv/demo
	@echo "installing what the tests need besides: 1.7 GB more, minutes, once"
	rm -rf build *.egg-info
	@$(TICKS) $(PINNED) --no-build-isolation ".[test]"
	@$(TICKS) $(BIN)/python -m compileall -q -j 0 .venv/lib >/dev/null || true  # some packages ship what is no module
	touch $@

# Not editable, so that what is tested is what is shipped; a stale build folder would ship what was deleted.
.venv/installed: .venv/demo $(SOURCES) README.md
	rm -rf build *.egg-info
	$(PIP) --quiet --no-build-isolation --no-deps --force-reinstall .
	rm -rf build *.egg-info
	touch $@

clean:
	rm -rf .venv build dist *.egg-info
