# All commands of the project; "make" alone lists them. Needs Python 3.11+ and make, nothing else.
.DEFAULT_GOAL := help
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
INSTALL = $(BIN)/uv pip install --quiet --require-hashes --compile-bytecode -r requirements-dev.txt

.PHONY: help
help: ## List the commands
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "  make %-20s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

# uv comes from the same hashed lock as the packages that it then installs.
$(READY): requirements-dev.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ...")'
	@echo "Installing pinned packages into $(VENV) ..."
	@$(PYTHON) -m venv $(VENV)
	@awk '/^uv==/{found=1} found{print; if (!/\\$$/) exit}' requirements-dev.txt > $(VENV)/uv.txt
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes --no-deps -r $(VENV)/uv.txt
	@VIRTUAL_ENV=$(VENV) $(INSTALL) || { echo "Trying again with the system's certificates ..."; VIRTUAL_ENV=$(VENV) $(INSTALL) --system-certs; }
	@printf '#!%s/$(BIN)/python\nimport sys\n\nsys.path[:0] = ["%s", "%s/layers/core"]\nfrom cli.app import main\n\nmain()\n' "$(CURDIR)" "$(CURDIR)" "$(CURDIR)" > $(BIN)/ugtj
	@chmod +x $(BIN)/ugtj
	@touch $@

.PHONY: install
install: $(READY) ## Install the pinned packages, and the command ugtj, into .venv

# pymorphy3 requires setuptools from Python 3.12 on, but does not import it: the layers leave it out.
.PHONY: lock
lock: $(READY) ## Pin the newest versions that pyproject.toml allows, with hashes
	$(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --no-strip-extras --extra dev --custom-compile-command "make lock" -o requirements-dev.txt
	$(BIN)/uv pip compile --group functions --universal --python-version 3.11 --generate-hashes --no-annotate --quiet -c requirements-dev.txt --custom-compile-command "make lock" --no-emit-package setuptools -o layers/dependencies/requirements.txt
	$(BIN)/uv pip compile --group functions --group migrations --universal --python-version 3.11 --generate-hashes --no-annotate --quiet -c requirements-dev.txt --custom-compile-command "make lock" $$(awk -F '[^a-z0-9-]' '/^[a-z]/{print "--no-emit-package", $$1}' layers/dependencies/requirements.txt) --no-emit-package setuptools -o migrations/requirements.txt
	$(BIN)/uv pip compile --group functions --group browser --universal --python-version 3.11 --generate-hashes --no-annotate --quiet -c requirements-dev.txt --custom-compile-command "make lock" $$(awk -F '[^a-z0-9-]' '/^[a-z]/{print "--no-emit-package", $$1}' layers/dependencies/requirements.txt) --no-emit-package setuptools -o tests/browser/requirements.txt
	$(BIN)/uv pip compile benchmarks/edges/requirements.in --universal --python-version 3.11 --generate-hashes --no-annotate --quiet -c requirements-dev.txt --custom-compile-command "make lock" -o benchmarks/edges/requirements.txt
	$(BIN)/uv pip compile --group api --universal --python-version 3.11 --generate-hashes --no-annotate --quiet -c requirements-dev.txt --custom-compile-command "make lock" $$(awk -F '[^a-z0-9-]' '/^[a-z]/{print "--no-emit-package", $$1}' requirements-dev.txt) -o tests/api/requirements.txt
	$(BIN)/uv pip compile gates/requirements.in --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --custom-compile-command "make lock" -o gates/requirements.txt
	$(BIN)/uv pip compile gates/requirements-secrets.in --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --custom-compile-command "make lock" -o gates/requirements-secrets.txt
	$(BIN)/uv pip compile benchmarks/limiters/requirements.in --universal --python-version 3.11 --generate-hashes --no-annotate --quiet --custom-compile-command "make lock" -o benchmarks/limiters/requirements.txt

# ── run ──────────────────────────────────────────────────────────────────────────────────────────

.PHONY: run
run: $(READY) ## Serve the whole system on http://localhost:4000; PORT=, DATA_DIR=, ERA=, ...
	@$(BIN)/python -m local run

.PHONY: services
services: $(READY) ## Serve Postgres, AWS and hh.ru's sandbox alone, for sam local; CONTAINER_HOST=
	@$(BIN)/python -m local services $(if $(CONTAINER_HOST),--container-host $(CONTAINER_HOST))

# ── database ─────────────────────────────────────────────────────────────────────────────────────
# With DATABASE_URL (environment, else .env), else with the embedded server, which is started if needed.
DATABASE = $(BIN)/python -m local.database

.PHONY: db-migrate
db-migrate: $(READY) ## Bring the database to the newest schema, or to REVISION
	@$(DATABASE) migrate $(if $(REVISION),-- $(REVISION))

.PHONY: db-rollback
db-rollback: $(READY) ## Undo the last migration, or all after REVISION (base: all); DROP_DATA=1
	@$(DATABASE) rollback $(if $(DROP_DATA),--drop-data) $(if $(REVISION),-- $(REVISION))

.PHONY: db-reset
db-reset: $(READY) ## Delete everything, migrate and seed; asks unless embedded or FORCE=1
	@FORCE=$(FORCE) $(DATABASE) reset

.PHONY: db-seed
db-seed: $(READY) ## Insert the rows that development starts with
	@$(DATABASE) seed

.PHONY: db-fill
db-fill: $(READY) ## Add synthetic accounts and jobs, to see "make run" at size: ACCOUNTS=1000 JOBS=100000
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.fill $(if $(ACCOUNTS),--accounts $(ACCOUNTS)) $(if $(JOBS),--jobs $(JOBS))

.PHONY: db-new
db-new: $(READY) ## Write an empty migration: NAME="what it does"
	@$(if $(NAME),,echo 'NAME is missing: make db-new NAME="what it does"' >&2; exit 2;) $(DATABASE) new "$(NAME)"

.PHONY: rds-ca
rds-ca: $(READY) ## Bring the authorities of RDS, which the layer ships, up to date with Amazon's bundle
	@PYTHONPATH=layers/core $(BIN)/python -m local.rds_certificates

.PHONY: db-checksums
db-checksums: $(READY) ## Add new migrations to migrations/checksums.txt; refuses changed ones
	@$(BIN)/python -m migrations.checksums

# ── build and deploy ─────────────────────────────────────────────────────────────────────────────
# ARCH sets the architecture of the template and of the wheels. SAM's cache ignores the architecture, the
# presence of Python 3.13 and layers/layer.mk: so each architecture has a folder of its own (with the
# build.toml that SAM keeps beside the build), and the cache is deleted when any of them changes.
ARCH ?= arm64
STAGE ?= dev
BUILT = .aws-sam/$(ARCH)/build
CACHE = .aws-sam/$(ARCH)/cache
WITH_VENV = PATH="$(CURDIR)/$(BIN):$$PATH"
SAM = SAM_CLI_TELEMETRY=0 MAKEFLAGS=--no-print-directory $(WITH_VENV) $(BIN)/sam

.PHONY: build
build: $(READY) ## Build layers and functions into .aws-sam: ARCH=arm64 (default) or x86_64
	@case $(ARCH) in arm64|x86_64) ;; *) echo "ARCH is arm64 or x86_64, not $(ARCH)." >&2; exit 2;; esac
	@mkdir -p .aws-sam/$(ARCH)
	@{ $(WITH_VENV) python3.13 -VV 2>/dev/null || echo "no Python 3.13"; cksum layers/layer.mk; } > $(CACHE).new
	@cmp -s $(CACHE).new $(CACHE).key || rm -rf $(CACHE)
	@mv $(CACHE).new $(CACHE).key
	@ARCH=$(ARCH) $(SAM) build --parameter-overrides Architecture=$(ARCH) --build-dir $(BUILT) --cache-dir $(CACHE) --cached --parallel
	@! grep -q "^no Python" $(CACHE).key || echo "No working python3.13 on PATH: the layers carry no bytecode, cold starts take twice as long."

.PHONY: validate
validate: $(READY) ## Check the templates with CloudFormation's rules
	@AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-eu-central-1} $(SAM) validate --lint
	@AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-eu-central-1} $(SAM) validate --lint --template account.yaml
	@AWS_DEFAULT_REGION=$${AWS_DEFAULT_REGION:-eu-central-1} $(SAM) validate --lint --template database.yaml

.PHONY: deploy
deploy: $(READY) ## Check, build, deploy, migrate, test with parameters-STAGE.yaml: STAGE=dev (default) or prod; YES=1 asks nothing
	@find functions -name __pycache__ -prune -exec rm -rf {} +
	@$(WITH_VENV) $(BIN)/ugtj cloud deploy --stage $(STAGE) --arch $(ARCH) $(if $(YES),--yes)

.PHONY: deploy-prod
deploy-prod: ## Build and deploy with STAGE=prod; shows the changes and asks
	@$(MAKE) deploy STAGE=prod

.PHONY: migrate-cloud
migrate-cloud: $(READY) ## Bring the deployed database to the newest schema: STAGE=dev|prod
	@$(BIN)/python -m local.migrate_cloud ullgetthejob-core-$(STAGE) events/migrator.json

.PHONY: test-sam-local
test-sam-local: $(READY) ## Run every function in AWS's container through "sam local" (needs Docker)
	@$(BIN)/pytest -rs tests/sam_local

.PHONY: secret
secret: ## Generate and print new secrets for .env
	@$(PYTHON) -c 'import secrets; [print(f"{name}={secrets.token_urlsafe(48)}") for name in ("ORCHESTRATOR_SECRET", "ADMIN_SECRET", "SECRET_KEY_BASE")]'

# ── tests and checks ─────────────────────────────────────────────────────────────────────────────
PYTEST = $(BIN)/python -m pytest -m "not hh_api"
# The longest files first, so that no process is left alone with one in the end. Then those that
# start a local cloud of their own; the others share one a process, which runs until the end.
LONGEST = $(patsubst %,tests/integration/test_%.py,two_limits concurrent_fetching realtime_end_to_end isolation applier_crashes command_line_deployed rate_limit)
OWN_CLOUD = $(patsubst %,tests/e2e/test_%.py,nothing_leaks command_line dashboard real_bff running_core_checks command_line_usage local_lifecycle demo_user trail)
SUITES = $(LONGEST) $(OWN_CLOUD) tests/integration tests/e2e tests/contract tests/unit
# Each process has servers of its own; the tests of a file stay together, as they share some of them.
# Tests also wait (for a clock, a server, a signal), so there is one process more than processors.
TEST_PROCESSES ?= $(shell expr 1 + "$$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 1)")
IN_PARALLEL = -n $(TEST_PROCESSES) --maxprocesses 4 --dist loadfile --no-loadscope-reorder
PYTHON_CODE = layers/core functions cli local migrations docs benchmarks gates tests

.PHONY: test
test: $(READY) ## Run unit, integration, contract and end-to-end tests; TEST_PROCESSES=
	@$(PYTEST) $(IN_PARALLEL) $(SUITES)

.PHONY: test-cloud
test-cloud: $(READY) ## Deploy, update, roll back and destroy a stack, with moto's server as AWS
	@$(PYTEST) -q tests/cloud

.PHONY: test-previous-release
test-previous-release: $(READY) ## Run an earlier release's integration tests on the new schema: REVISION=v1.2 or a commit; ONLY="files"
	@$(BIN)/python -m tests.previous_release $(if $(REVISION),--revision $(REVISION)) $(ONLY)

.PHONY: test-quick
test-quick: $(READY) ## Run the unit and contract tests, as one does while working
	@$(PYTEST) $(IN_PARALLEL) -q tests/unit tests/contract

.PHONY: test-unit
test-unit: $(READY) ## Run the tests that only need Python
	@$(PYTEST) tests/unit

.PHONY: test-hh-api
test-hh-api: $(READY) ## Run the tests against the real hh.ru; needs HH_ACCESS_TOKEN, HH_USER_AGENT
	@$(BIN)/python -m pytest -m hh_api tests/hh_api

.PHONY: soak-applying
soak-applying: $(READY) ## Submit 1,000 applications during injected faults; SOAK_APPLICATIONS=, SOAK_SEED=
	@SOAK_APPLICATIONS=$${SOAK_APPLICATIONS:-1000} $(PYTEST) -q tests/integration/test_applying_soak.py

.PHONY: soak-fetching
soak-fetching: $(READY) ## Run saved searches of 1,000 accounts, then ten minutes with killed processes; SOAK_SECONDS=
	@SOAK_SECONDS=$${SOAK_SECONDS:-600} SOAK_ACCOUNTS=1000 $(PYTEST) -q tests/integration/test_concurrent_fetching.py tests/integration/test_fetching_soak.py

.PHONY: soak-limits
soak-limits: $(READY) ## Apply for three days of the sandbox's clock within both limits; SOAK_HOURS=
	@SOAK_HOURS=$${SOAK_HOURS:-72} $(PYTEST) -q tests/integration/test_two_limits.py

.PHONY: test-dynamodb-local
test-dynamodb-local: $(READY) ## Run many processes at once on AWS's DynamoDB Local (needs Java 17 and npm)
	@$(BIN)/python -m pytest -rs tests/dynamodb_local

# Playwright for Python, without its own browsers: the tests use Debian's Chromium.
BROWSER_READY := $(VENV)/.browser-ready
INSTALL_BROWSER = $(BIN)/uv pip install --quiet --require-hashes --no-deps -r tests/browser/requirements.txt

$(BROWSER_READY): $(READY) tests/browser/requirements.txt
	@VIRTUAL_ENV=$(VENV) $(INSTALL_BROWSER) || VIRTUAL_ENV=$(VENV) $(INSTALL_BROWSER) --system-certs
	@touch $@

.PHONY: test-browser
test-browser: $(BROWSER_READY) ## Run the tests in a real browser: Debian's Chromium, which it installs
	@command -v chromium >/dev/null || tests/browser/install-chromium
	@$(PYTEST) -rs tests/browser

# Schemathesis, in a folder of its own: in the environment, every pytest would load its plugin.
API_TOOLS = .data/schemathesis
API_READY := $(API_TOOLS)/.ready
INSTALL_API = $(BIN)/uv pip install --quiet --python $(BIN)/python --target $(API_TOOLS) --require-hashes --no-deps -r tests/api/requirements.txt

$(API_READY): $(READY) tests/api/requirements.txt
	@rm -rf $(API_TOOLS)
	@$(INSTALL_API) || $(INSTALL_API) --system-certs
	@touch $@

.PHONY: test-api
test-api: $(API_READY) ## Send 5,000 generated requests to the routes of docs/openapi.json; API_CASES=, API_SEED=
	@PYTHONPATH=$(API_TOOLS) $(PYTEST) -q tests/api

.PHONY: coverage
coverage: $(READY) ## Run the tests and show the lines that are not covered
	@$(BIN)/coverage erase
	@COVERAGE_FILE=$(CURDIR)/.coverage COVERAGE_PROCESS_START=$(CURDIR)/pyproject.toml $(BIN)/coverage run -m pytest -q -m "not hh_api" $(SUITES)
	@$(BIN)/coverage combine --quiet && $(BIN)/coverage report --skip-covered --show-missing

.PHONY: check
check: $(READY) validate ## Lint, formatting, types, template
	@$(BIN)/ruff check $(PYTHON_CODE)
	@$(BIN)/ruff format --check $(PYTHON_CODE)
	@$(BIN)/mypy $(PYTHON_CODE)

# The tools of the gates, with their dependencies, in an environment of their own.
GATES = .data/gates
GATES_READY := $(GATES)/.ready
INSTALL_GATES = $(BIN)/uv pip install --quiet --require-hashes --no-deps --compile-bytecode -r gates/requirements.txt
# An environment of its own: a package of checkov's has the same files.
SECRETS = .data/gates-secrets
INSTALL_SECRETS = $(BIN)/uv pip install --quiet --require-hashes --no-deps --compile-bytecode -r gates/requirements-secrets.txt

$(GATES_READY): $(READY) gates/requirements.txt gates/requirements-secrets.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(GATES)
	@VIRTUAL_ENV=$(GATES) $(INSTALL_GATES) || VIRTUAL_ENV=$(GATES) $(INSTALL_GATES) --system-certs
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(SECRETS)
	@VIRTUAL_ENV=$(SECRETS) $(INSTALL_SECRETS) || VIRTUAL_ENV=$(SECRETS) $(INSTALL_SECRETS) --system-certs
	@touch $@

.PHONY: gates
gates: $(GATES_READY) ## Check security: templates, code, secrets, vulnerabilities, licences, SBOM; ONLY=
	@$(BIN)/python -m gates $(ONLY)

.PHONY: format
format: $(READY) ## Format the code and apply ruff's fixes
	@$(BIN)/ruff check --fix --quiet $(PYTHON_CODE); $(BIN)/ruff format $(PYTHON_CODE)

.PHONY: docs
docs: $(READY) ## Generate the references: docs/openapi.json, docs/hh-errors.md
	@$(BIN)/python docs/generate.py

# ── benchmarks ───────────────────────────────────────────────────────────────────────────────────
# Each prints its rows; "make bench" runs them all. What they compare with is installed under .data.
BENCHMARK = POWERTOOLS_METRICS_DISABLED=true PYTHONPATH=layers/core $(BIN)/python -m benchmarks
ZAE = .data/zae-limiter
ZAE_READY := $(ZAE)/.ready
INSTALL_ZAE = $(BIN)/uv pip install --quiet --require-hashes --no-deps --compile-bytecode -r benchmarks/limiters/requirements.txt

$(ZAE_READY): $(READY) benchmarks/limiters/requirements.txt
	@$(BIN)/uv venv --quiet --clear --python $(BIN)/python $(ZAE)
	@VIRTUAL_ENV=$(ZAE) $(INSTALL_ZAE) || VIRTUAL_ENV=$(ZAE) $(INSTALL_ZAE) --system-certs
	@touch $@

FASTAPI = .data/fastapi
FASTAPI_READY := $(FASTAPI)/.ready
INSTALL_FASTAPI = $(BIN)/uv pip install --quiet --require-hashes --no-deps --compile-bytecode --target $(FASTAPI) -r benchmarks/edges/requirements.txt

$(FASTAPI_READY): $(READY) benchmarks/edges/requirements.txt
	@rm -rf $(FASTAPI)
	@VIRTUAL_ENV=$(VENV) $(INSTALL_FASTAPI) || VIRTUAL_ENV=$(VENV) $(INSTALL_FASTAPI) --system-certs
	@touch $@

# package-lock.json has the hash of every package and no address: npm uses the registry that it is set to.
OFFLINE = .data/serverless-offline
OFFLINE_READY := $(OFFLINE)/.ready

$(OFFLINE_READY): benchmarks/serverless_offline/package.json benchmarks/serverless_offline/package-lock.json
	@mkdir -p $(OFFLINE)
	@cp $^ $(OFFLINE)
	@cd $(OFFLINE) && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@

.PHONY: bench
bench: $(ZAE_READY) $(FASTAPI_READY) $(OFFLINE_READY) ## Run all benchmarks, with one table; WRITE=1: docs/performance.md (needs Java 17, npm)
	@$(BENCHMARK).full --zae-python $(ZAE)/bin/python --fastapi $(FASTAPI) --offline $(OFFLINE) $(if $(WRITE),--write) $(if $(ONLY),--only $(ONLY))

.PHONY: bench-cold-start
bench-cold-start: $(READY) ## Measure cold starts of all functions against a naive search, in AWS's emulator; ONLY=search,...
	@$(BENCHMARK).cold_start $(if $(ONLY),--only $(ONLY))

.PHONY: bench-memory
bench-memory: $(READY) ## Measure the memory of each function after 1 and 1,000 invocations
	@$(BENCHMARK).memory

.PHONY: bench-edge
bench-edge: $(FASTAPI_READY) ## Compare the warm edge with Powertools' resolver and FastAPI with Mangum
	@$(BENCHMARK).edge --packages $(FASTAPI)

.PHONY: bench-gateway
bench-gateway: $(READY) $(OFFLINE_READY) ## Compare the local gateway with serverless-offline (needs npm)
	@$(BENCHMARK).gateway --offline $(OFFLINE)

.PHONY: bench-start
bench-start: $(READY) ## Measure the second start of "make run", to its first answer
	@$(BENCHMARK).second_start

.PHONY: bench-rate-limit
bench-rate-limit: $(ZAE_READY) ## Compare acquires on DynamoDB Local with zae-limiter (needs Java 17, npm)
	@$(BENCHMARK).rate_limit --zae-python $(ZAE)/bin/python

.PHONY: bench-submit
bench-submit: $(READY) ## Measure fifty submissions at once, compared with calls that do nothing
	@$(BENCHMARK).submit_latency

.PHONY: bench-search-burst
bench-search-burst: $(READY) ## Measure fifty searches at once, equal and different, against a single one
	@$(BENCHMARK).search_burst

.PHONY: bench-broadcast
bench-broadcast: $(READY) ## Send an event of 4 KB to 20 and 1,000 sockets, compared with boto3 with 32 threads
	@$(BENCHMARK).broadcast

.PHONY: bench-dashboard
bench-dashboard: $(READY) ## Measure what the dashboard costs, and its answers while 1,000 requests run
	@$(BENCHMARK).dashboard

.PHONY: bench-store
bench-store: $(READY) ## Store 2,000 vacancies, nine in ten known and all new, compared with executemany
	@$(BENCHMARK).store

.PHONY: bench-fetch
bench-fetch: $(READY) ## Fetch 2,000 vacancies at 50 ms latency, compared with the pace alone
	@$(BENCHMARK).fetch

.PHONY: bench-cost
bench-cost: $(READY) ## Count what operations make the cloud do, for docs/cost.md and "ugtj cloud cost"
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.cost

.PHONY: scale
scale: $(READY) ## Generate docs/scale.md: costs and ceilings at ten thousand and millions of people
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.scale

.PHONY: bench-fit
bench-fit: $(READY) ## Order labelled pairs by fit and by baselines; fits per second; WRITE=1: into docs/fit.md
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.fit $(if $(WRITE),--write)

.PHONY: bench-work
bench-work: $(READY) ## Count statements, AWS and hh.ru calls of one application, run, vacancy, submit
	@BENCH_WORK=1 POWERTOOLS_LOG_LEVEL=ERROR $(PYTEST) -q -s tests/integration/test_work_budgets.py

.PHONY: bench-applying
bench-applying: $(READY) ## Let 50 accounts apply at once, compared with hh.ru's pace alone
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.applying

.PHONY: simulate-egress
simulate-egress: $(READY) ## Simulate how many people one egress serves; WRITE=1: into docs/egress.md
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.egress $(if $(WRITE),--write)

.PHONY: bench-growth
bench-growth: $(READY) ## Measure all statements and endpoints while tables grow tenfold; FULL=1: a hundredfold
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.growth $(if $(FULL),--full) $(if $(ONLY),--only $(ONLY))

.PHONY: bench-filled
bench-filled: $(READY) ## Compare "make run" with 1,000 accounts and 100,000 jobs with an empty one
	@PYTHONPATH=layers/core $(BIN)/python -m benchmarks.filled
