# make course   run every notebook and build build/course/index.html
# make test     every check; ENV=colab or ENV=latest in other versions than the pinned ones
# make lab      open JupyterLab on the first notebook
# make refresh  run the notebooks and store their outputs in them
# make measure  write down how long each takes, and how much memory, for notebooks/README.md
# make badges   write the repository's address and its badges: make badges REPO=owner/name
# make bench    measure speed and quality (makes an environment of its own for the peers)
# make setup    only make the environment, .venv
#
# PYTHON=python3.12 chooses the interpreter; ONLY=00_tour limits course, refresh and measure to some notebooks.
# Without make: python make.py --help

PYTHON ?= $(if $(ENV),python3.13,python3)
TASKS := course test lab lint refresh measure badges bench setup lock clean

.PHONY: $(TASKS)

$(TASKS):
	@$(PYTHON) -c '' 2>/dev/null || { echo '$(PYTHON) does not run here: install Python 3.11, 3.12 or 3.13, or name one: make PYTHON=python3.12'; exit 1; }
	@$(PYTHON) make.py $@ $(if $(ONLY),--only $(ONLY)) $(if $(REPO),--repo $(REPO)) $(if $(ENV),--env $(ENV)) \
		$(if $(filter command environment,$(firstword $(origin PYTHON))),--exactly)
