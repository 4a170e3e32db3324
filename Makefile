# `make run` and `make test` on a fresh machine: the environment is made, and remade when
# requirements.txt or pyproject.toml changes; by uv where it is on the PATH, else by pip.

VENV := .venv
PYTHON ?= python3
READY := $(VENV)/.ready

DOCS := .venv-docs
UV := $(shell command -v uv)

.PHONY: run test report lint docs reference pictures clean

run: $(READY)
	$(VENV)/bin/snakemake --cores all

# Three processes: on two cores, one of them often waits for a job, a download or Slurm.
test: $(READY)
	$(VENV)/bin/pytest -n 3 --dist loadfile --no-loadscope-reorder

report: $(READY)
	$(VENV)/bin/snakemake --report report.html

lint: $(READY)
	$(VENV)/bin/ruff check
	$(VENV)/bin/ruff format --check
	$(VENV)/bin/snakefmt --check Snakefile workflow/Snakefile workflow/rules

# The documentation, in build/docs/. A warning, such as of a link that leads nowhere, is an error.
docs: $(DOCS)/.ready
	$(DOCS)/bin/sphinx-build -c docs -b html -d build/doctrees -E -W -n --keep-going -q . build/docs
	@echo "build/docs/index.html"

# config/README.md and config/schemas/, from the classes that check the config; docs/reports.md.
reference: $(READY)
	$(VENV)/bin/python docs/generate/reference.py

# The pictures of README.md, from the studies that they show: minutes on two cores.
pictures: $(READY)
	$(VENV)/bin/snakemake --cores all results/glyphs-per-class-again/figures/answer.png
	$(VENV)/bin/python docs/generate/pictures.py

$(DOCS)/.ready: requirements-docs.txt
	rm -rf $(DOCS)
	$(PYTHON) -m venv $(DOCS)
	$(DOCS)/bin/pip install --quiet --disable-pip-version-check -r requirements-docs.txt
	touch $@

$(READY): requirements.txt pyproject.toml
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
ifdef UV
	$(UV) pip install --quiet --compile-bytecode --python $(VENV)/bin/python -r requirements.txt
else
	$(VENV)/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
endif
	touch $@

clean:
	rm -rf $(VENV) $(DOCS)
