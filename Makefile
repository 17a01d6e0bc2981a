# Everything a newcomer types. `make` alone lists it.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# The first Python that fits, unless told: make install PYTHON=python3.13
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
    "$$name" -c 'import sys; sys.exit(not (3, 11) <= sys.version_info < (3, 15))' 2>/dev/null \
    && command -v "$$name" && break; done)
BIN := .venv/bin
STAMP := .venv/.installed
# One file of tests stays on one worker, so that what it starts (a database, a browser) is started once.
PYTEST := $(BIN)/pytest -n auto --dist loadfile

.PHONY: help
help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: install
install: $(STAMP) ## .venv with the product and its development tools

# Made again when what it is made from changed, when its interpreter went away, or when the checkout was moved:
# an environment knows its own path, which the stamp holds.
ifneq ($(shell $(BIN)/python -c 'print(open("$(STAMP)").read().strip())' 2>/dev/null),$(CURDIR))
.PHONY: $(STAMP)
endif
$(STAMP): pyproject.toml constraints.txt
	@test -n "$(PYTHON)" || { echo "Python 3.11 to 3.14 is needed: apt-get install python3 python3-venv" >&2; exit 1; }
	@bot/demo/packages.sh python "$(PYTHON)"
	@! test -e $@ || test "$$(cat $@)" = "$(CURDIR)" || rm -rf .venv
	@$(BIN)/python -c '' 2>/dev/null || { rm -rf .venv && "$(PYTHON)" -m venv .venv; }
	@echo "Installing into .venv (a minute or two the first time)"
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[dev]'
	@echo "$(CURDIR)" >$@

.PHONY: demo
demo: install ## the whole system on this machine, no account anywhere: prints the address of a chat
	@bot/demo/packages.sh demo
	@exec $(BIN)/python -m bot demo

.PHONY: demo-clean
demo-clean: install ## remove everything that the demo keeps, its machines too
	@$(BIN)/python -m bot demo --clean

.PHONY: test
test: install ## all tests but the slow ones
	@bot/demo/packages.sh test
	@$(PYTEST) -m "not slow"

.PHONY: test-slow
test-slow: install ## the tests that take long
	@bot/demo/packages.sh test
	@$(PYTEST) -m slow

.PHONY: test-cluster
test-cluster: install ## a real Kubernetes cluster on two guests; builds Kubernetes first, needs root and Debian
	@bot/demo/packages.sh cluster
	@$(BIN)/pytest -q -s tests/cluster/real_cluster.py

YEARS ?= 10
SEEDS ?= 1
.PHONY: soak
soak: install ## ten years of a simulated business, everything going wrong: make soak YEARS=10 SEEDS="1 2 3"
	@SOAK_YEARS="$(YEARS)" SOAK_SEEDS="$(SEEDS)" $(BIN)/pytest -q -s -m slow tests/money

.PHONY: crash
crash: install ## kill the product everywhere, on both databases and as several processes; prints the figures
	@bot/demo/packages.sh test
	@$(BIN)/pytest -q -s -m "slow or not slow" tests/crash

FILE ?= data/backup/vmbot-$(shell date -u +%Y-%m-%d-%H%M%S)

.PHONY: backup
backup: install ## a whole copy of the database, also while the program runs: make backup FILE=...
	@mkdir -p "$$(dirname "$(FILE)")"
	@$(BIN)/python -m bot backup "$(FILE)" && echo "Written: $(FILE)"

.PHONY: restore
restore: install ## put such a copy in the place of everything, and compare all there is: make restore FILE=...
	@test -n "$(filter command% environment%,$(origin FILE))" || { echo "Say which: make restore FILE=..." >&2; exit 2; }
	@$(BIN)/python -m bot restore "$(FILE)" && echo "Restored: $(FILE)"
	@$(BIN)/python -m bot job check && echo "Everything agrees."

.PHONY: coverage
coverage: install ## which lines no test runs: htmlcov/index.html
	@bot/demo/packages.sh test
	@$(BIN)/coverage run -m pytest -m "not slow" && $(BIN)/coverage html --quiet && $(BIN)/coverage report

.PHONY: lint
lint: install ## style, types, and who may import whom
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo

.PHONY: format
format: install ## put the code into the one style
	@$(BIN)/ruff check --fix-only --quiet .
	@$(BIN)/ruff format .

.PHONY: texts
texts: install ## bring the catalogues up to date with the words in the code
	@words=$$(mktemp) && trap 'rm -f "$$words"' EXIT && \
	  $(BIN)/pybabel --quiet extract -k _ -k ngettext:1,2 --no-location --sort-output -o "$$words" bot && \
	  for each in bot/locale/*/LC_MESSAGES/bot.po; do \
	    code=$${each#bot/locale/}; $(BIN)/pybabel --quiet update --no-fuzzy-matching --ignore-obsolete \
	      --ignore-pot-creation-date -D bot -d bot/locale -l "$${code%%/*}" -i "$$words"; \
	  done

.PHONY: site
site: install ## the documents as a site in dist/site; a link that leads nowhere stops it
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-input -c constraints.txt -e '.[docs]'
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build && echo "Open dist/site/README.html"

.PHONY: bench
bench: install ## measure what the documents claim; SCALE=0.1 for a tenth of the data
	@bot/demo/packages.sh test
	@$(BIN)/python -m benchmarks --scale $(or $(SCALE),1)

.PHONY: pictures
pictures: install ## take the pictures of the documents again, with Chromium and the demo
	@bot/demo/packages.sh test
	@$(BIN)/python -m tests.browser.pictures

.PHONY: constraints
constraints: install ## write constraints.txt from what .venv holds
	@{ head -n 1 constraints.txt; $(BIN)/pip freeze --exclude-editable | LC_ALL=C sort -f; } > constraints.new
	@mv constraints.new constraints.txt && touch $(STAMP)

.PHONY: clean
clean: ## remove what can be made again; data/ stays
	@rm -rf .venv .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage htmlcov dist
	@find alembic benchmarks billing bot cloud tests -name __pycache__ -type d -prune -exec rm -rf {} +
