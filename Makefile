# Every target makes what it needs, starting from a clean clone. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench attack fuzz lock clean

help:
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1#\2/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-12s %s\n", $$1, $$2 }'

demo: $(VENV)/package.stamp ## run the frontier world with bots on this machine, without Redis
	$(BIN)/gameserver demo

test: lint $(VENV)/package.stamp ## lint, then every test (a missing Redis is installed on Debian, else named)
	@scripts/ensure-redis
	$(BIN)/python -m pytest

lint: $(VENV)/package.stamp ## formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/package.stamp ## rewrite the code as `make lint` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: $(VENV)/package.stamp ## the hot path beside its peers, about twenty minutes
	@scripts/ensure-redis
	$(BIN)/python -m benchmarks

attack: $(VENV)/package.stamp ## every attack of the catalogue on real workers, some three minutes
	@scripts/ensure-redis
	$(BIN)/python -m e2e_tests.attacks --page docs/reliability-attacks.md

fuzz: $(VENV)/package.stamp ## a million spoilt messages and a hundred thousand spoilt payloads of the bus
	$(BIN)/python -m tests.fuzz

lock: ## pin the dependencies of pyproject.toml anew
	scripts/make-venv build/lock
	build/lock/bin/pip install --quiet uv
	build/lock/bin/uv pip compile --universal --generate-hashes --python-version 3.11 --extra dev --upgrade \
		--no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" pyproject.toml --output-file requirements-dev.lock

clean: ## remove everything that was made
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(VENV)/dependencies.stamp: requirements-dev.lock scripts/make-venv
	scripts/make-venv $(VENV)
	$(BIN)/pip install --quiet --require-hashes -r requirements-dev.lock
	@touch $@

$(VENV)/package.stamp: $(VENV)/dependencies.stamp pyproject.toml
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	@touch $@
