# The first of these that is there and in range makes .venv; `make PYTHON=...` takes another.
PYTHON ?= python3.11 python3.12 python3.13 python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/ready
# Files of tests, and notebooks, side by side: one thread each.
SIDE_BY_SIDE := OMP_NUM_THREADS=1 $(BIN)/python -m pytest --numprocesses auto --maxprocesses 4 --dist loadfile

# What a test writes must never become a record of the book.
unexport LABKIT_RESULTS
# Beside any other busy program, threads of torch that spin while they wait slow it down many times.
export OMP_WAIT_POLICY ?= passive
# Rooms and files of tests that differ from main: labkit/<room>/ has its tests in tests/<room>/.
CHANGED = $(sort $(wildcard $(shell \
	{ git diff --name-only --merge-base main 2>/dev/null || git diff --name-only HEAD; \
	  git ls-files --others --exclude-standard; } \
	| sed -nE 's,^labkit/([a-z]+)/.*\.py$$,tests/\1,p; s,^(tests/(.*/)?test_[a-z_]+\.py)$$,\1,p; \
		s,^(book|notebooks)/.*,tests/test_prose.py,p')))
.PHONY: help book style check pdf test lab clean

help:
	@echo "make book    build the website from the records and embedded data (a few minutes)"
	@echo "make check   style, types, layers, pairing, and the quick tests of what differs from main (a minute)"
	@echo "make test    all checks: style, types, layers, pairing, tests, every page, every cell of every notebook"
	@echo "make pdf     the same as one PDF, printed by Chromium or Chrome"
	@echo "make lab     open copies of the notebooks in JupyterLab"
	@echo "make clean   remove what was built (.venv, runs and results stay)"
	@echo "Run a chapter: $(BIN)/labkit run p22 --profile smoke   (more: $(BIN)/labkit --help)"

book: $(READY)
	$(BIN)/labkit book

style: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/labkit pair --check

check: style
	$(if $(CHANGED),$(SIDE_BY_SIDE) -m "not slow" $(CHANGED))

test: style
	@mkdir -p _build && rm -f _build/tests.xml _build/nbval.xml
	$(SIDE_BY_SIDE) tests --junitxml=_build/tests.xml
	kernel=$$($(BIN)/python tests/support/colab.py) && \
	JUPYTER_PATH=_build/jupyter $(SIDE_BY_SIDE) notebooks -p cells --nbval-lax --nbval-kernel-name $$kernel \
		--nbval-cell-timeout=600 -p no:cacheprovider --junitxml=_build/nbval.xml
	$(BIN)/python tests/support/ran.py

pdf: $(READY)
	$(BIN)/labkit pdf

lab: $(READY)
	$(BIN)/labkit lab

clean:
	rm -rf _build .mypy_cache .pytest_cache .ruff_cache .import_linter_cache

# A .venv is kept while requirements.txt and pyproject.toml stay as they are.
$(READY): requirements.txt pyproject.toml
	@test -x $(BIN)/python || { \
		for python in $(PYTHON); do \
			$$python -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 14))' 2>/dev/null \
				&& exec $$python -m venv $(VENV); \
		done; \
		echo "Error: none of '$(PYTHON)' is Python 3.11, 3.12 or 3.13: install one, or make PYTHON=/path/to/it" >&2; \
		exit 1; \
	}
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.txt
	# imagecorruptions asks for opencv-python, which needs a desktop's libraries; the headless one will do.
	# torchattacks, for the tests, asks for a release of requests that is years old.
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps imagecorruptions==1.1.2 \
		torchattacks==3.5.1 -e .
	@touch $@
