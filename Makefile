# make demo: a sample lake, built and looked at. make check: all that CI checks.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
PIP := $(BIN)/python -m pip install --quiet --no-compile --disable-pip-version-check
LAKE ?= lake
KILLS ?= 10000
RUNS ?= 500
export SQLGEN_LAKE := $(LAKE)
# Modules are compiled once, also where this is set: each command that tests start would compile all of them otherwise.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: demo test slow soak audit lint format types check bench golden lock clean

demo: $(READY) ## write a sample lake, build every model, look at the bars
	@test -d $(LAKE)/raw || $(BIN)/python -m sqlgen sample $(LAKE) --symbols 2 --days 2
	$(BIN)/python -m sqlgen run models.yaml
	@$(BIN)/python -m sqlgen compile models.yaml > /dev/null
	@$(BIN)/python -m sqlgen catalog models.yaml > /dev/null
	@echo
	@echo "Tables:        $(LAKE)/processed/ccxt/{ticker,trades,orderbook}/..."
	@echo "Compiled SQL:  target/compiled/*.sql"
	@echo "Look around:   $(BIN)/duckdb -init target/catalog.sql"
	@echo
	@$(BIN)/duckdb -init target/catalog.sql -c "SELECT symbol, bar_start, open, high, low, close, round(volume, 3) AS volume, round(tfi, 3) AS tfi, round(annualized_vol, 3) AS annualized_vol FROM trades_bars WHERE bar_seconds = 3600 ORDER BY bar_start, symbol LIMIT 10"

# uv takes a tenth of the time of pip, which installs where uv does not find the registry: uv reads no settings of pip.
$(READY): requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "sqlgen needs Python 3.11 or newer; name it: make PYTHON=python3.12"; exit 1; }
	$(PYTHON) -m venv $(VENV)
	@awk '/^[a-z]/ { of_uv = /^uv==/ } of_uv' requirements.lock > $(VENV)/uv.txt
	$(PIP) --require-hashes -r $(VENV)/uv.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements.lock || $(PIP) --require-hashes -r requirements.lock
	$(PIP) --no-deps --editable .
	@touch $@

test: $(READY) ## the tests, but for the slow ones
	$(BIN)/python -m pytest -n auto --dist worksteal -m "not slow and not soak"

slow: $(READY) ## the tests that take long
	$(BIN)/python -m pytest -n auto --dist worksteal -m "slow and not soak"

soak: $(READY) ## runs killed 10,000 times, 500 incremental runs, and the tables of docs/guarantees.md; takes hours
	SQLGEN_TEST_RANDOM=1 $(BIN)/python -m pytest -n auto --dist worksteal -m "soak or hypothesis"
	$(BIN)/python -m tests.support.guarantees $(KILLS) $(RUNS)

audit: $(READY) ## known vulnerabilities of the locked dependencies; needs PyPI itself, and fails where a mirror has no advisories
	$(BIN)/uv tool run pip-audit --strict --require-hashes --disable-pip -r requirements.lock

lint: $(READY)
	$(BIN)/ruff check
	$(BIN)/ruff format --check

format: $(READY)
	$(BIN)/ruff check --fix
	$(BIN)/ruff format

types: $(READY)
	$(BIN)/mypy

check: lint types test slow ## what CI runs

bench: $(READY) ## speed and memory as ratios against baselines
	$(BIN)/python -m benchmarks

golden: $(READY) ## write the golden SQL and docs/columns.md anew; read the diff
	SQLGEN_WRITE_GOLDEN=1 $(BIN)/python -m pytest -q tests/golden

lock: $(READY) ## resolve the dependencies anew
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --group dev \
		--python-version 3.11 --upgrade -o requirements.lock pyproject.toml

clean:
	rm -rf $(VENV) target build dist
