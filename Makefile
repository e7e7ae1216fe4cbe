# Each target makes the environment that it needs; Python 3.11 or newer, make and a C compiler are enough.
PYTHON ?= python3
# constraints.txt pins tested versions, constraints-lowest.txt the lower bounds, constraints-newest.txt nearly nothing.
CONSTRAINTS ?= constraints.txt

# One environment per Python and constraints: .venv for python3, else .venv-3.13; and -lowest, -newest.
version_of = $(shell $(1) -c 'import sys; print("%d.%d" % sys.version_info[:2])')
VERSION := $(or $(call version_of,$(PYTHON)),$(error PYTHON=$(PYTHON) does not run))
SUFFIX := $(if $(filter-out $(call version_of,python3),$(VERSION)),-$(VERSION))
VENV := .venv$(SUFFIX)$(CONSTRAINTS:constraints%.txt=%)
BIN := $(VENV)/bin
INSTALLED := $(VENV)/.installed
PEERS := .venv$(SUFFIX)-peers
TRANSFORMERS := .venv$(SUFFIX)-transformers
RAY := .venv$(SUFFIX)-ray

# The suite fails where it runs on anything else.
TESTED := TEST_PYTHON=$(VERSION) TEST_VENV=$(VENV) TEST_CONSTRAINTS=$(CONSTRAINTS)

.PHONY: quickstart check test test-slow test-reliability test-slow-others test-compiled test-ray test-lowest test-newest format wheel docs versus-open-clip versus-transformers versus-clip-benchmark versus-pycocoevalcap parity parity-captions parity-training peers-goldens peers5-goldens peers-siglip-ids peers-clip-ids clean

quickstart: $(INSTALLED)
	$(BIN)/sycoca quickstart

check: $(INSTALLED)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	echo '{"extends": "../pyproject.toml", "venvPath": "..", "venv": "$(VENV)", "pythonVersion": "$(VERSION)"}' > $(VENV)/pyright.json
	$(BIN)/pyright --project $(VENV)/pyright.json
	$(BIN)/lint-imports

test: $(INSTALLED)
	$(TESTED) OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile --no-loadscope-reorder -m "not slow and not compiled" $(OPTIONS)

# Each part can be run alone: kills, damages, full disks and hostile files, one by one, since they measure time and memory; then the
# others, a process per core; then torch.compile.
test-slow: test-reliability test-slow-others test-compiled

test-reliability: $(INSTALLED)
	$(TESTED) OMP_NUM_THREADS=1 $(BIN)/pytest -q -m slow --durations 0 --durations-min 5 tests/reliability $(OPTIONS)

test-slow-others: $(INSTALLED)
	$(TESTED) OMP_NUM_THREADS=1 $(BIN)/pytest -q -n auto --dist loadfile -m "slow and not compiled" --ignore tests/reliability --durations 0 --durations-min 5 $(OPTIONS)

test-compiled: $(INSTALLED)
	$(TESTED) JAXTYPING_DISABLE=1 $(BIN)/pytest -q -m compiled $(OPTIONS)

# Maps on a local Ray cluster of which a worker or a node is killed; no other environment has Ray.
test-ray: $(RAY)/.installed
	OMP_NUM_THREADS=1 $(RAY)/bin/pytest -q -s -m slow --durations 0 --durations-min 5 tests/reliability/ray_maps.py $(OPTIONS)

# The lowest versions that pyproject.toml allows.
test-lowest:
	$(MAKE) test CONSTRAINTS=constraints-lowest.txt

# The newest versions of this day.
test-newest:
	rm -f $(VENV)-newest/.installed
	$(MAKE) test CONSTRAINTS=constraints-newest.txt

format: $(INSTALLED)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

wheel: $(INSTALLED)
	$(BIN)/python -m build --wheel

# The documentation site, in build/docs; warnings are errors, and nothing is downloaded.
docs: $(INSTALLED)
	$(BIN)/sphinx-build -q -W --keep-going -n docs build/docs
	@echo "open build/docs/index.html"

# Needs photos with captions: make versus-open-clip DATA="captions.jsonl?images=photos"
versus-open-clip: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore benchmarks/versus_open_clip.py $(if $(DATA),--data "$(DATA)") $(OPTIONS)

# Captions a second beside BLIP-base and GIT-base, with random weights: make versus-transformers OPTIONS="--precision bf16 --json FILE"
versus-transformers: $(TRANSFORMERS)/.installed
	$(TRANSFORMERS)/bin/python -W ignore benchmarks/versus_transformers.py $(OPTIONS)

# The same figures of zero-shot classification and retrieval as CLIP_benchmark for the same embeddings, and the time of both: 6 GB.
versus-clip-benchmark: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore benchmarks/versus_clip_benchmark.py $(OPTIONS)

# The same figures of captions as pycocoevalcap, and the time of both; needs Java: make versus-pycocoevalcap DATA=captions.jsonl
versus-pycocoevalcap: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore benchmarks/versus_pycocoevalcap.py $(if $(DATA),--data "$(DATA)") $(OPTIONS)

# Compares outputs of converted models with open_clip's and transformers' in full size, with random weights: minutes and 12 GB.
parity: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/parity.py $(OPTIONS)

# Compares greedy captions of a converted model with open_clip's: make parity-captions DATA=photos
parity-captions: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/captions.py $(DATA) $(OPTIONS)

# Continues training of a converted model and loads the result in open_clip: make parity-training DATA="captions.jsonl?images=photos"
parity-training: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/continue_training.py "$(DATA)" $(OPTIONS)

# Writes the golden outputs that tests compare converted models with; run it after adding peers, and commit the files.
peers-goldens: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/make_open_clip_goldens.py
	$(PEERS)/bin/python -W ignore tests/peers/make_hf_goldens.py

# The same for models that only transformers 5 has.
peers5-goldens: $(TRANSFORMERS)/.installed
	$(TRANSFORMERS)/bin/python -W ignore tests/peers/make_hf5_goldens.py

# The same for SigLIP's tokenizer; needs sentencepiece.
peers-siglip-ids: $(PEERS)/.installed
	$(PEERS)/bin/pip install --quiet sentencepiece protobuf
	$(PEERS)/bin/python -W ignore tests/peers/make_siglip_ids.py

# The same for CLIP's tokenizer; needs the captions in ../shared/data.
peers-clip-ids: $(PEERS)/.installed
	$(PEERS)/bin/python -W ignore tests/peers/make_clip_ids.py

clean:
	rm -rf .venv .venv-* build dist

# Another version of python3 recreates the environment.
$(BIN)/python$(VERSION):
	$(PYTHON) -m venv --clear $(VENV)

$(INSTALLED): pyproject.toml $(CONSTRAINTS) $(BIN)/python$(VERSION)
	$(BIN)/pip install --quiet --upgrade --upgrade-strategy eager --constraint $(CONSTRAINTS) --editable '.[dev]'
	touch $@

$(RAY)/.installed: pyproject.toml $(CONSTRAINTS)
	$(PYTHON) -m venv $(RAY)
	$(RAY)/bin/pip install --quiet --constraint $(CONSTRAINTS) --editable '.[ray]' ray==2.60.0 pytest hypothesis beartype jaxtyping
	touch $@

# The last release of open_clip, with the last version of transformers that its captioner supports.
$(PEERS)/.installed: benchmarks/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/pip install --quiet torch==2.13.0
	$(PEERS)/bin/pip install --quiet --no-deps torchvision==0.28.0
	$(PEERS)/bin/pip install --quiet --requirement benchmarks/requirements.txt --editable .
	touch $@

$(TRANSFORMERS)/.installed: benchmarks/requirements-transformers.txt
	$(PYTHON) -m venv $(TRANSFORMERS)
	$(TRANSFORMERS)/bin/pip install --quiet --requirement benchmarks/requirements-transformers.txt --editable .
	touch $@
