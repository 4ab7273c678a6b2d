# Two commands: `make book` (set-up and the report), `make test` (set-up and all tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One torch thread a process: results do not depend on the machine's cores, and several
# processes side by side do not fight over them.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

.PHONY: book test bench notebooks clean

book: $(VENV)/ready
	$(BIN)/sparseattn book $(if $(PARAMETERS),--parameters $(PARAMETERS))

test: $(VENV)/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/sparseattn book
	$(BIN)/pytest --nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval.cfg \
	  -n 2 --dist loadfile tests notebooks

bench: $(VENV)/ready
	$(BIN)/sparseattn bench

# Writes the .ipynb of every notebook from its .py, keeping only the outputs that are checked.
notebooks: $(VENV)/ready
	$(BIN)/sparseattn pair

$(VENV)/ready: requirements.txt pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check --requirement requirements.txt --editable .
	touch $@

clean:
	rm -rf _build
