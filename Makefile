# The two commands of the README, `make demo` and `make test`, and what developers use beside them.
PYTHON ?= python3
KILLS ?= 20
BIN := .venv/bin
PIP := $(BIN)/python -m pip install --quiet --disable-pip-version-check

.PHONY: demo test bench lint kill clean

demo: .venv/train-ready
	$(BIN)/teachwhy run studies/swap

test: .venv/test-ready
	$(BIN)/python -m pytest -n 2 --dist worksteal

bench: .venv/bench-ready
	$(BIN)/python -m bench --out bench/results.json

lint: .venv/test-ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	@# Of tests and bench it is only asked that their calls fit what they call.
	! $(BIN)/mypy --follow-imports=skip src tests bench | grep -E '\[(call-arg|name-defined|syntax)\]'

kill: .venv/test-ready
	$(BIN)/python bench/kill.py --kills $(KILLS)

.venv/pyvenv.cfg:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "teachwhy needs Python 3.11 or newer; name one with: make PYTHON=python3.12 ..."; exit 1; }
	$(PYTHON) -m venv .venv

.venv/train-ready: pyproject.toml .venv/pyvenv.cfg
	$(PIP) -e '.[train]'
	@touch $@

.venv/test-ready: .venv/train-ready
	$(PIP) -e '.[train,test,dev]'
	@touch $@

.venv/bench-ready: .venv/test-ready
	$(PIP) -e '.[train,test,dev,bench]'
	@touch $@

clean:
	rm -rf .venv build dist
