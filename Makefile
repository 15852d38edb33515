# `make` lists what there is. Needs Python 3.11+ with its venv module; everything else comes out of the locked packages.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
# One lock for running, testing and checking: what only tests need costs two seconds and saves a second environment.
LOCK   := requirements-dev.lock
STAMP  := $(VENV)/.installed
# The official Node clients, for their tests, where there is npm. Without it, or without its registry, those tests are left out and say so.
NODE   := $(if $(shell command -v npm 2>/dev/null),$(VENV)/node-clients/.installed)
# Clients in older versions than the lock has, for their tests; likewise left out where they cannot be had.
OLDER  := $(VENV)/older-clients/.installed
WORKERS ?= 2
# Meant for images. Here every process that starts, dozens in a run of the tests, would compile the whole source anew.
unexport PYTHONDONTWRITEBYTECODE
# Linting reads the settings and no store.
ANY    := SECRET_KEY=only-for-linting-reads-nothing-and-signs-nothing DATABASE_URL=postgresql://lint@127.0.0.1:1/lint REDIS_URL=redis://127.0.0.1:1/0 LOG_LEVEL=ERROR

.DEFAULT_GOAL := help
.PHONY: help run test check fmt bench simulate lock clean books compiled

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

run: $(STAMP) ## Start everything: database, money store, web, workers, a small model. Ctrl-C stops it; PORT=, TOLLWAY_DATA=
	@exec $(BIN)/python -m gateway.local

test: $(STAMP) $(NODE) $(OLDER) ## Run every test on engines of its own
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(PYTEST_ARGS)

check: $(STAMP) ## Format, lint, types, import contracts, templates, migrations, tests
	@$(MAKE) --no-print-directory lint test

$(VENV)/node-clients/.installed: tests/gateway/node/package-lock.json $(STAMP)
	@mkdir -p $(@D) && cp tests/gateway/node/package.json tests/gateway/node/package-lock.json $(@D)/
	@cd $(@D) && (npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null && touch .installed) || echo "npm could not install the Node clients."

$(VENV)/older-clients/.installed: tests/gateway/clients/older.lock $(STAMP)
	@mkdir -p $(@D)
	@($(BIN)/python -m pip install --quiet --no-deps --require-hashes --upgrade --target $(@D) -r $< && touch $@) || echo "pip could not install the older clients."

.PHONY: lint
lint: $(STAMP) ## All of check but the tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(ANY) $(BIN)/mypy .
	$(BIN)/lint-imports
	$(BIN)/djlint --check --lint --quiet templates
	$(ANY) $(BIN)/python -W ignore manage.py makemigrations --check --dry-run

fmt: $(STAMP) ## Format code and templates
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/djlint --reformat --quiet templates

compiled: $(STAMP) ## Compile the hot path (needs a C compiler); gateways that start from then on use it
	@exec $(BIN)/python -m gateway.compiled

bench: $(STAMP) ## Measure, compiled where there is a C compiler; writes docs/benchmarks.md
	@$(BIN)/python -m gateway.compiled --if-possible
	@exec $(BIN)/python -m bench

.PHONY: bench-money
bench-money: $(STAMP) ## Measure settlement and admission alone; writes docs/benchmarks-money.md
	@exec $(BIN)/python -m bench money --write

.PHONY: faults
faults: $(STAMP) ## Break everything that money must survive; writes docs/reliability.md
	@exec $(BIN)/python -m tests.faults

simulate: $(STAMP) ## Replay a day of traffic through the router; writes docs/routing-simulation.md
	@exec $(BIN)/python -m bench.routing

books: $(STAMP) ## Verify the ledger of the running copy
	@$(BIN)/python manage.py verify_ledger

lock: $(STAMP) ## Resolve the dependencies anew into the three locks
	$(BIN)/uv pip compile --quiet --upgrade --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links --extra local --extra compile --extra dev -o requirements-dev.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -c requirements-dev.lock -o requirements.lock pyproject.toml
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-header --no-emit-index-url --no-emit-find-links -c requirements-dev.lock --extra compile -o requirements-compile.lock pyproject.toml

clean: ## Remove the environment, what was compiled and caches; data in .tollway stays
	rm -rf build $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(STAMP): $(LOCK)
	@$(PYTHON) gateway/local/install.py $(VENV) $(LOCK) $(if $(filter file,$(origin PYTHON)),--fastest)
