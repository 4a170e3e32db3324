# `make run` and `make test` on a fresh machine: the environment is made, and remade when
# requirements.txt or pyproject.toml changes.

VENV := .venv
PYTHON ?= python3
READY := $(VENV)/.ready

.PHONY: run test report lint clean

run: $(READY)
	$(VENV)/bin/snakemake --cores all

test: $(READY)
	$(VENV)/bin/pytest -n 2 --dist loadfile

report: $(READY)
	$(VENV)/bin/snakemake --report report.html

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/snakefmt --check Snakefile workflow/Snakefile workflow/rules

$(READY): requirements.txt pyproject.toml
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

clean:
	rm -rf $(VENV)
