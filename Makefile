# Every target makes what it needs, starting from a clean clone. `make` alone lists them.

VENV := .venv
BIN := $(VENV)/bin

export PYTHON
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
SEEDS := 1000
.PHONY: help demo test lint format bench wheel attack fuzz restarts simulate lock clean

# Python, with the compiled package before the one that lies here. PYTHONSAFEPATH: what lies in the working directory is not to win.
COMPILED := PYTHONSAFEPATH=1 PYTHONPATH=$(CURDIR)/build/compiled:$(CURDIR) $(BIN)/python

help:
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1#\2/p' $(MAKEFILE_LIST) | awk -F'#' '{ printf "%-12s %s\n", $$1, $$2 }'

demo: $(VENV)/package.stamp ## run the frontier world with bots on this machine, without Redis
	$(BIN)/gameserver demo

# What is compiled is tested twice: as sources, and as it is deployed.
COMPILED_TESTS := tests/state tests/protocol tests/rooms tests/sessions tests/runtime tests/buses tests/asgi e2e_tests

test: lint build/compiled.stamp ## lint, then every test (a missing Redis is installed on Debian, else named)
	@scripts/ensure-redis
	$(BIN)/python -m pytest tests
	$(COMPILED) -m pytest $(COMPILED_TESTS)

lint: $(VENV)/package.stamp ## formatting, style and types
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

format: $(VENV)/package.stamp ## rewrite the code as `make lint` wants it
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

bench: build/compiled.stamp ## the hot path beside its peers, about twenty minutes
	@scripts/ensure-redis
	$(COMPILED) -m benchmarks

wheel: build/compiled.stamp ## a wheel for this machine's system and Python, its hot modules compiled, in dist/
	@mkdir -p dist
	cp build/wheel/*.whl dist/
	@ls dist/*.whl

attack: build/compiled.stamp ## every attack of the catalogue on real workers, some three minutes
	@scripts/ensure-redis
	$(COMPILED) -m e2e_tests.attacks --page docs/reliability-attacks.md

fuzz: build/compiled.stamp ## a million spoilt messages and a hundred thousand spoilt payloads of the bus
	$(COMPILED) -m tests.fuzz

restarts: build/compiled.stamp ## workers killed, and restarted one by one, under many players; some five minutes
	@scripts/ensure-redis
	$(COMPILED) -m e2e_tests.restarts

simulate: $(VENV)/package.stamp ## whole worlds with faults in virtual time, SEEDS of them (1000), in about ten minutes
	$(BIN)/python -m tests.simulation --seeds $(SEEDS) $(if $(BREAK),--break $(BREAK))

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

build/compiled.stamp: $(VENV)/package.stamp scripts/compile_hook.py $(shell find gameserver -name '*.py' -o -name '*.lua')
	@scripts/ensure-compiler $(BIN)/python
	rm -rf build/compiled build/wheel
	HATCH_BUILD_HOOK_ENABLE_CUSTOM=1 $(BIN)/python -m hatchling build --target wheel --directory build/wheel
	$(BIN)/pip install --quiet --no-deps --target build/compiled build/wheel/*.whl
	@touch $@
