# Bare `make` prints help. Logic lives in the package `fleetgate`, not here.
.DEFAULT_GOAL := help
SHELL := /bin/sh

override ENV := $(or $(strip $(ENV)),local)
PYTHON ?= python3
BASE ?= origin/main
PLATFORMS ?= linux_amd64 linux_arm64 darwin_arm64
VENV := .venv
IAM := .venv-iam
BIN := $(VENV)/bin
FLEETGATE := $(BIN)/fleetgate
PARALLEL := -n 3 --dist loadgroup --no-loadscope-reorder
# Gates are tests, so that make test runs each of them too, and once.
GATES := tests/unit tests/contract tests/terraform tests/e2e/test_iam_checks.py
PLAN := build/$(ENV)/fleet.tfplan.json
JUDGED := build/$(ENV)/judged
# What a gate that found something has said, as a block of Markdown without the account's number, since it goes into an issue.
# One that could not judge says nothing there, and fails.
NOTED = >$(JUDGED).txt || { test -s $(JUDGED).txt && sed 's/[0-9]\{12\}/************/g; s/^/    /' $(JUDGED).txt >>$(JUDGED).md; }
# No index address, no path: the files say what to install, the machine says from where.
PIN := --quiet --upgrade --universal --python-version 3.11 --generate-hashes --no-header --no-annotate --no-emit-index-url

help: ## Show this help
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo; echo "  ENV=$(ENV) names the environment, a file terraform/envs/$(ENV).yaml"

$(VENV)/runtime: requirements/runtime.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit("fleetgate needs Python 3.11 or newer, this is " + sys.version.split()[0]) if sys.version_info < (3, 11) else None'
	@echo "installing Python packages into $(VENV), which takes about a minute"
	$(PYTHON) -m venv $(VENV) && $(BIN)/python -m pip install --quiet --require-hashes -r requirements/runtime.txt
	$(BIN)/python -m pip install --quiet --no-deps --no-build-isolation --editable . && touch $@

$(VENV)/development: $(VENV)/runtime requirements/development.txt
	@echo "installing the packages of the tests into $(VENV)"
	$(BIN)/python -m pip install --quiet --require-hashes -r requirements/development.txt && touch $@

# checkov and parliament: what they pin is not what fleetgate pins, so they get an environment of their own.
$(IAM)/ready: requirements/iam.txt
	@echo "installing checkov and parliament into $(IAM)"
	$(PYTHON) -m venv $(IAM) && $(IAM)/bin/python -m pip install --quiet --require-hashes -r requirements/iam.txt && touch $@

apply: $(VENV)/runtime ## Build, plan, apply that plan, and prove it by the smoke checks
	$(FLEETGATE) package --check --env $(ENV)
	$(FLEETGATE) cloud up --if-embedded --env $(ENV) && $(FLEETGATE) plan --env $(ENV)
	$(FLEETGATE) apply --env $(ENV)

plan: $(VENV)/runtime ## Build and save a plan, change nothing
	$(FLEETGATE) cloud up --if-embedded --env $(ENV)
	$(FLEETGATE) plan --env $(ENV)

bootstrap: $(VENV)/runtime ## Make the bucket of an environment whose state is in S3 (asks; YES=1 does not)
	$(FLEETGATE) cloud up --if-embedded --env $(ENV)
	$(FLEETGATE) bootstrap --env $(ENV) $(if $(filter 1 y yes true,$(YES)),--yes)

smoke: $(VENV)/runtime ## Prove the running environment by a canary device of every type
	$(FLEETGATE) smoke --env $(ENV)

destroy: $(VENV)/runtime ## Remove all devices and all resources of the environment (asks; YES=1 does not)
	$(FLEETGATE) destroy --env $(ENV) $(if $(filter 1 y yes true,$(YES)),--yes)

down: $(VENV)/runtime ## Stop the embedded cloud, keep its state
	$(FLEETGATE) cloud down --env $(ENV)

policies: $(VENV)/runtime ## Check the catalogue, lint and isolate its policies: without a cloud and without credentials
	$(FLEETGATE) catalogue check && $(FLEETGATE) lint --env $(ENV) && $(FLEETGATE) isolation --env $(ENV)

# Whoever adds something adds policies that name it, whose texts Terraform knows after the apply: a gate before that cannot
# judge them, and says which. Once they are applied, make judge lets none of them pass unjudged (drift.yml runs it every night).
lint: policies $(IAM)/ready ## The policies, then the whole plan (starts the embedded cloud): lint, checkov, parliament
	$(FLEETGATE) cloud up --if-embedded --env $(ENV) && $(FLEETGATE) plan --env $(ENV) --json $(PLAN)
	$(FLEETGATE) lint $(PLAN) && PYTHONPATH=tools $(IAM)/bin/python -m fleetgate.iam_checks --allow-unknown $(PLAN)
	@if $(FLEETGATE) cloud status --env $(ENV) >/dev/null 2>&1; then echo "the embedded cloud still runs: make down ENV=$(ENV)"; fi

judge: $(VENV)/runtime $(IAM)/ready ## The plan of what is applied, no policy left out; build/ENV/judged.md is empty if nothing is found
	$(FLEETGATE) cloud up --if-embedded --env $(ENV) && $(FLEETGATE) plan --env $(ENV) --json $(PLAN)
	: >$(JUDGED).md
	$(FLEETGATE) lint $(PLAN) $(NOTED)
	PYTHONPATH=tools $(IAM)/bin/python -m fleetgate.iam_checks $(PLAN) $(NOTED)

review: $(VENV)/runtime ## What a change does, for its reviewers: access against BASE, and the plan that make lint has left
	mkdir -p build/$(ENV) && $(FLEETGATE) access-diff --base $(BASE) --allow-growth --env $(ENV) >build/$(ENV)/access.md
	rm -f build/$(ENV)/changes.md; test ! -f $(PLAN) || \
		$(FLEETGATE) drift --plan $(PLAN) --format markdown --env $(ENV) >build/$(ENV)/changes.md || \
		{ test $$? = 1 && test -s build/$(ENV)/changes.md; }

drift: $(VENV)/runtime ## What differs from the files, by hand or not applied yet; build/ENV/drift.md is empty if nothing does
	mkdir -p build/$(ENV)
	$(FLEETGATE) drift --format markdown --env $(ENV) >build/$(ENV)/drift.md || \
		{ test $$? = 1 && test -s build/$(ENV)/drift.md; } # a crash ends with 1, too, and has nothing to say

test: $(VENV)/development $(IAM)/ready ## What CI runs: make check, and the integration and end-to-end tests
	$(BIN)/python -m pytest $(PARALLEL)

check: $(VENV)/development $(IAM)/ready ## All gates: format, lint, types, policies, Terraform, checkov, workflows, unit and contract tests
	$(BIN)/python -m pytest $(PARALLEL) $(GATES)

unit: $(VENV)/development ## The fast gates, for every few minutes: Python, policies, workflows, unit and contract tests
	$(BIN)/python -m pytest -q tests/unit tests/contract

test-deep: $(VENV)/development ## The random tests of the policy engine with very many cases; minutes
	FLEETGATE_DEEP_TESTS=1 $(BIN)/python -m pytest $(PARALLEL) --durations 12 tests/unit/iot_policy

bench: $(VENV)/development $(IAM)/ready ## Measure speed as ratios; writes benchmarks/results.json
	$(BIN)/python -m benchmarks

requirements: $(VENV)/development ## Pin the newest allowed versions again, with hashes
	cd requirements && ../$(BIN)/uv pip compile $(PIN) runtime.in -o runtime.txt
	cd requirements && ../$(BIN)/uv pip compile $(PIN) development.in -c runtime.txt -o development.txt
	cd requirements && ../$(BIN)/uv pip compile $(PIN) iam.in -o iam.txt

lock: ## Write provider hashes for PLATFORMS; a team that wants the lock file adds it with git add --force
	terraform -chdir=terraform providers lock $(PLATFORMS:%=-platform=%)

clean: ## Remove caches and the virtual environment; build/ stays, it holds state and keys
	rm -rf $(VENV) $(IAM) .pytest_cache .mypy_cache .ruff_cache .hypothesis *.egg-info tools/*.egg-info
	find lambda_src tests tools benchmarks -name __pycache__ -type d -prune -exec rm -rf {} +

.PHONY: help apply plan bootstrap smoke destroy down policies lint judge review drift test check unit test-deep bench requirements lock clean
