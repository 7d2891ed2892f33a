# Every command of the project; "make" alone lists them. Needs Python 3.11+ and make, nothing else.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv comes from the same hashed lock as everything that it then installs.
$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	@echo "Installing pinned packages into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/{found=1} found{print; if (!/\\$$/) exit}' requirements-dev.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@VIRTUAL_ENV=$(VENV) $(BIN)/uv pip install --quiet --require-hashes --compile-bytecode -r requirements-dev.txt
	@touch $@

.PHONY: install
install: $(READY) ## Install the pinned packages into .venv

.PHONY: lock
lock: $(READY) ## Pin the newest versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --no-strip-extras --extra migrations --extra dev --custom-compile-command "make lock" -o requirements-dev.txt
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet -c requirements-dev.txt --custom-compile-command "make lock" -o layers/dependencies/requirements.txt

# ── run ──────────────────────────────────────────────────────────────────────────────────────────

# ── database ─────────────────────────────────────────────────────────────────────────────────────

# ── build and deploy ─────────────────────────────────────────────────────────────────────────────

# ── tests and checks ─────────────────────────────────────────────────────────────────────────────

# ── benchmarks ───────────────────────────────────────────────────────────────────────────────────
