# One command for everything; `make help` lists them. Works on a fresh machine with make, git and Python 3.11.

SHELL := /bin/bash
.DEFAULT_GOAL := help

VENV := .venv
PYTHON := $(VENV)/bin/python
INSTALLED := $(VENV)/.installed
DEMO := PYTHONPATH=deploy/local:deploy/demo $(PYTHON) -m demo
PYTEST_ARGS ?=
BENCH_ARGS ?=
FUZZ_SECONDS ?= 60
CHAOS_ARGS ?=
LOCK_ARGS ?=
LOCK := $(VENV)/bin/uv pip compile pyproject.toml --quiet --system-certs --universal \
	--python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --custom-compile-command "make lock" $(LOCK_ARGS)

.PHONY: help
help: ## Show this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(INSTALLED) ## Install everything the project needs (the other commands do it by themselves)
	@:

$(INSTALLED): requirements/dev.txt pyproject.toml
	@deploy/local/require.sh
	@test -x $(PYTHON) || python3 -m venv $(VENV)
	@echo "Installing Python packages into $(VENV), once ..."
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	@$(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	@touch $@

.PHONY: demo
demo: $(INSTALLED) ## Run the whole product on a real Celery application and show what it found
	@$(DEMO) run

.PHONY: up
up: $(INSTALLED) ## Start the demo's stack and keep it running
	@$(DEMO) up

.PHONY: down
down: $(INSTALLED) ## Stop what `make up` started
	@$(DEMO) down

.PHONY: status
status: $(INSTALLED) ## Show what of the demo's stack runs
	@$(DEMO) status

.PHONY: test
test: lint pytest ## Lint, then run all tests, against real Kafka, Elasticsearch and Redis

.PHONY: pytest
pytest: $(INSTALLED) ## Run the tests only; PYTEST_ARGS="tests/pipelines -x" narrows them
	@$(PYTHON) -m pytest $(PYTEST_ARGS)

.PHONY: properties
properties: $(INSTALLED) ## Run the property tests with examples that are others each time; PYTEST_ARGS narrows them
	@$(PYTHON) -m pytest -m hypothesis --hypothesis-profile=exploring $(PYTEST_ARGS)

.PHONY: test-clients
test-clients: $(INSTALLED) ## Send to a real collector with OpenTelemetry's exporters for Node and Go (needs node, npm and go)
	@mkdir -p build/clients/node
	@cp tests/integration/clients/node/*.* build/clients/node
	@npm ci --prefix build/clients/node --silent --ignore-scripts
	@cd tests/integration/clients/go && go build -o ../../../../build/clients/go/client .
	@$(PYTHON) -m pytest -m clients tests/integration/clients

.PHONY: fuzz
fuzz: $(INSTALLED) ## Fuzz the collector's pipeline, guided by coverage; FUZZ_SECONDS=600 says how long (Python 3.11 on x86_64)
	@PYTHONPATH=tests$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m fuzz $(FUZZ_SECONDS)

.PHONY: bench
bench: $(INSTALLED) ## Measure the hot paths of worker, collector and indexer
	@$(PYTHON) tests/bench/hot_paths.py

.PHONY: bench-worker
bench-worker: $(INSTALLED) ## Measure what a worker pays, beside its peers; BENCH_ARGS="--quick --only succeed" narrows it
	@PYTHONPATH=tests/bench:deploy/local$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m worker $(BENCH_ARGS)

.PHONY: bench-pipeline
bench-pipeline: $(INSTALLED) ## Measure what collector and indexer need for an item; BENCH_ARGS="--quick --only collector" narrows it
	@PYTHONPATH=tests/bench:tests:deploy/local$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m pipeline $(BENCH_ARGS)

.PHONY: bench-clusters
bench-clusters: $(INSTALLED) ## Score the failure clusters on the labelled corpus, beside two baselines; BENCH_ARGS=--explain tells all faults
	@PYTHONPATH=tests/bench$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m clusters $(BENCH_ARGS)

.PHONY: bench-rules
bench-rules: $(INSTALLED) ## Measure what each alert rule costs Elasticsearch among a million attempts; BENCH_ARGS="--attempts 200000"
	@PYTHONPATH=tests/bench:tests:deploy/local$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m rules $(BENCH_ARGS)

.PHONY: bench-alerts
bench-alerts: $(INSTALLED) ## Let the alert watcher judge a simulated world, and count what it gets right; BENCH_ARGS="--quick --only deploy"
	@PYTHONPATH=tests/bench:tests:deploy/local$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m alerts $(BENCH_ARGS)

.PHONY: chaos
chaos: $(INSTALLED) ## Let everything fail in turn under load, and count; CHAOS_ARGS="--quick --seed 7" (about 20 minutes without)
	@PYTHONPATH=tests:tests/bench:deploy/local:deploy/demo$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) -m chaos $(CHAOS_ARGS)

.PHONY: lint
lint: $(INSTALLED) ## Check style, types, the rules between packages and the generated documents
	@$(VENV)/bin/ruff check --quiet .
	@$(VENV)/bin/ruff format --quiet --check . || { echo "Run \`make format\` to format these files."; exit 1; }
	@$(VENV)/bin/mypy --no-error-summary
	@$(VENV)/bin/lint-imports | grep -v '^$$' | tail -1; exit $${PIPESTATUS[0]}
	@$(PYTHON) deploy/docs/settings_reference.py --check docs/settings.md
	@$(PYTHON) deploy/docs/alerts_reference.py --check docs/alerts.md
	@$(PYTHON) deploy/docs/kibana_bundle.py --check

.PHONY: format
format: $(INSTALLED) ## Format the code and fix what can be fixed
	@$(VENV)/bin/ruff check --quiet --fix . ; $(VENV)/bin/ruff format --quiet .

.PHONY: docs
docs: $(INSTALLED) ## Write docs/settings.md from the settings, docs/alerts.md from the rules, and Kibana's bundle from its sources
	@$(PYTHON) deploy/docs/settings_reference.py docs/settings.md
	@$(PYTHON) deploy/docs/alerts_reference.py docs/alerts.md
	@$(PYTHON) deploy/docs/kibana_bundle.py

.PHONY: screenshots
screenshots: $(INSTALLED) ## Draw docs/images again, from a run of the demo, with the Vega of Kibana in Chromium
	@PYTHONPATH=tests:deploy/local:deploy/demo$${PYTHONPATH:+:$$PYTHONPATH} $(PYTHON) tests/kibana/screenshots.py docs/images

.PHONY: lock
lock: $(INSTALLED) ## Pin the dependencies again; LOCK_ARGS=--upgrade takes newer versions
	@$(LOCK) --all-extras --group dev --group bench -c requirements/constraints.txt -o requirements/dev.txt
	@$(LOCK) -c requirements/dev.txt -o requirements/base.txt
	@$(LOCK) --group demo -c requirements/dev.txt -o requirements/demo.txt
	@$(LOCK) --extra collector -c requirements/dev.txt -o requirements/collector.txt
	@$(LOCK) --extra pipelines -c requirements/dev.txt -o requirements/pipelines.txt
	@$(LOCK) --extra kibana -c requirements/dev.txt -o requirements/kibana.txt

.PHONY: clean
clean: ## Stop the demo's stack and remove all that make created here; downloads of servers stay
	@if [ -d .local ] && [ -f $(INSTALLED) ]; then $(DEMO) down; fi
	@rm -rf $(VENV) .local build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +
