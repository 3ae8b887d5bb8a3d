# Needs Python 3.11, 3.12 or 3.13. `make install PYTHON=/path/to/python3.12` names one.

BIN := .venv/bin
STAMP := .venv/.installed
PORT ?= 8501
PYTHONS := $(PYTHON) python3.13 python3.12 python3.11 python3
# Run it, do not just look for it: a pyenv shim exists for versions that are not active and does not run.
USABLE := import ensurepip, sqlite3, ssl, sys, venv; sys.exit(not (3, 11) <= sys.version_info < (3, 14))
# The stamp holds the folder: scripts in a .venv that was moved or copied name the old one.
SOUND := $(BIN)/python -c "import pip; $(USABLE)" 2>/dev/null \
	&& { [ ! -e $(STAMP) ] || [ "$$(cat $(STAMP))" = "$$(pwd -P)" ]; }
PICK := python=; for each in $(PYTHONS); do if $$each -c "$(USABLE)" 2>/dev/null; then python=$$each; break; fi; done; \
	[ -n "$$python" ] || { echo "No Python 3.11, 3.12 or 3.13 with venv, ssl and sqlite3 runs here." >&2; exit 1; }

# The newest, which finds and checks pinned packages in a third of the time that Python's own takes. What is imported is
# compiled then: most of what is installed never is.
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: install registry demo repro test test-fast soak check bench bench-peers image try-image lock clean FORCE

install: $(STAMP)

ifneq ($(shell $(SOUND) && echo sound),sound)
$(STAMP): FORCE
endif

$(STAMP): requirements.txt requirements-dev.txt pyproject.toml
	@$(SOUND) || { $(PICK); rm -rf .venv && "$$python" -m venv .venv; }
	@echo "Installing into .venv ($$($(BIN)/python -V)); this takes some minutes the first time."
	@$(PIP) --upgrade pip
	@$(PIP) --no-compile -r requirements-dev.txt
	@pwd -P > $@

registry: install
	$(BIN)/signoff demo

demo: registry
	$(BIN)/streamlit run dashboard/app.py --server.port $(PORT)

# DVC runs `python -m pipeline`, which must be the one of .venv.
repro: install
	PATH="$(CURDIR)/$(BIN):$$PATH" $(BIN)/dvc repro

# Three for two cores, because a test often waits. In the order given: the long files first, nothing long at the end.
SPREAD := -n 3 --dist loadfile --no-loadscope-reorder
RULES := tests/unit/governance tests/contract/test_ledger_contract.py tests/contract/test_tokens_contract.py
FAST := tests/dashboard tests/contract tests/unit
STORIES := tests/integration tests/browser

# Being measured doubles what a test takes: only the rules are, by the tests that are theirs; `make soak` measures everything.
test: install
	.ci/install-chromium
	.ci/install-services
	.ci/install-old-mlflow
	$(BIN)/pytest $(SPREAD) $(RULES) --cov=pipeline/governance --cov-report=term-missing:skip-covered --cov-fail-under=100
	$(BIN)/pytest $(SPREAD) $(STORIES) $(FAST) $(RULES:%=--ignore=%)

test-fast: install
	.ci/install-services
	$(BIN)/pytest $(SPREAD) $(FAST)

# `make test` with every round, kill and simulation that it leaves out, and what all of it covers; it takes long.
soak: install
	.ci/install-chromium
	.ci/install-services
	.ci/install-old-mlflow
	TEST_SOAK=1 $(BIN)/pytest $(SPREAD) -o timeout=7200 $(STORIES) $(FAST) --cov --cov-report=
	@echo "Lines and branches covered in pipeline and dashboard: $$($(BIN)/coverage report --format=total) %"

check: install
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint Dockerfile

image:
	docker build --tag signoff .

try-image: image
	.ci/try-image

bench: install
	$(BIN)/python tests/bench/bench.py

# Other servers to measure beside ours, in an environment of their own: `make bench` measures what is there.
bench-peers: install
	$(BIN)/python -m venv .venv-peers
	.venv-peers/bin/pip install --quiet --disable-pip-version-check -r tests/bench/peers.txt

# Keeps the pins that still fit; `make lock UPGRADE=--upgrade` takes the newest. Not after install: the pins may not fit.
COMPILE := uv/bin/uv pip compile --universal --python-version 3.11 --no-annotate --no-header --quiet
lock:
	@set -e; $(PICK); new=$$(mktemp -d); trap 'rm -rf "$$new"' EXIT; \
	"$$python" -m venv "$$new/uv"; "$$new/uv/bin/pip" install --quiet --disable-pip-version-check uv; \
	tail -n +2 requirements.txt > "$$new/run"; \
	cat "$$new/run" > "$$new/dev"; tail -n +2 requirements-dev.txt >> "$$new/dev"; \
	"$$new"/$(COMPILE) $(UPGRADE) --extra notify --extra oidc --extra postgres pyproject.toml -o "$$new/run" > /dev/null; \
	"$$new"/$(COMPILE) $(UPGRADE) --constraint "$$new/run" --extra dev pyproject.toml -o "$$new/dev" > /dev/null; \
	{ echo "-e ."; cat "$$new/run"; } > requirements.txt; \
	{ echo "-r requirements.txt"; grep -vxFf "$$new/run" "$$new/dev"; } > requirements-dev.txt

# Leaves .venv and var/ alone: var/ holds the registry and the ledger.
clean:
	rm -rf build *.egg-info .coverage .coverage.* htmlcov .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find pipeline dashboard tests -name __pycache__ -prune -exec rm -rf {} +
