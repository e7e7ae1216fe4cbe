# Every target makes .venv with pinned versions by itself; nothing but Python 3.11+, make and a C compiler is needed.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-peers
INSTALLED := $(VENV)/.installed

.PHONY: quickstart check test test-slow format wheel versus-open-clip parity parity-captions parity-training peers-goldens peers-clip-ids clean

quickstart: $(INSTALLED)
	$(BIN)/sycoca quickstart --restart

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/pyright
	$(BIN)/lint-imports

test: $(INSTALLED)
	OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile -m "not slow and not compiled"

test-slow: $(INSTALLED)
	$(BIN)/pytest -q -m "slow and not compiled"
	JAXTYPING_DISABLE=1 $(BIN)/pytest -q -m compiled

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(INSTALLED)
	$(BIN)/python -m build --wheel

# Needs photos with captions: make versus-open-clip DATA="captions.jsonl?images=photos"
versus-open-clip: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore benchmarks/versus_open_clip.py $(if $(DATA),--data "$(DATA)") $(OPTIONS)

# Converted models beside open_clip's and transformers' own, every tensor drawn anew: full size, minutes and 12 GB.
parity: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/parity.py $(OPTIONS)

# Greedy captions of a converted model beside open_clip's: make parity-captions DATA=photos
parity-captions: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/captions.py $(DATA) $(OPTIONS)

# A converted model trains on, and open_clip loads the result: make parity-training DATA="captions.jsonl?images=photos"
parity-training: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/continue_training.py "$(DATA)" $(OPTIONS)

# What tests compare converted models with; to be made again when peers are added, and committed.
peers-goldens: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/make_open_clip_goldens.py
	$(PEERS)/bin/python -W ignore tests/peers/make_hf_goldens.py

# The same for CLIP's tokenizer; needs the captions in ../shared/data.
peers-clip-ids: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/make_clip_ids.py

clean:
	rm -rf $(VENV) $(PEERS) build dist

# torch's exact version is pinned by hand in constraints.txt: an open one can bring gigabytes of CUDA.
$(INSTALLED): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --constraint constraints.txt --editable '.[dev]'
	touch $@

# The last release of open_clip, with the last transformers that its captioner works with.
$(PEERS)/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet torch==2.13.0
	$(PEERS)/bin/pip install --quiet --no-deps torchvision==0.28.0
	$(PEERS)/bin/pip install --quiet --requirement benchmarks/requirements.txt --editable .
	touch $@
