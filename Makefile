# The menu. Every line names one program that does the work; whatever is missing on this machine is installed first.

FRAME_RS ?=     # the frame.rs to judge; the built-in one when empty
KERNEL_SRC ?=   # a kernel tree instead: judge its memory core
MACHINE  ?=     # machines to judge on, such as: q35 microvm
PROFILE  ?=     # dev or release; for qemu-test both, too
BASELINE ?=     # file of known findings
TIME     ?=     # seconds to fuzz or storm for
ARGS     ?=     # anything else for the program behind the target

PYTHON  := .venv/bin/python
HARNESS := .venv/bin/frame-harness
# FRAME_RS and KERNEL_SRC reach the program by the environment, so that any path may be in them.
CHECK   := $(addprefix --machine ,$(MACHINE)) $(addprefix --profile ,$(PROFILE)) $(addprefix --baseline ,$(BASELINE))

# A user's settings of Python (another home, modules to find first, warnings as errors) are for other programs.
# PYTHONDONTWRITEBYTECODE is among them: with it each command would compile all modules of this clone anew.
unexport $(filter-out PYTHONPYCACHEPREFIX PYTHONUNBUFFERED,$(filter PYTHON%,$(.VARIABLES)))

.DEFAULT_GOAL := help
.PHONY: help setup doctor qemu-test watch mutate test mutants lint check bench fuzz storm clauses pictures clean

help: ## show this menu
	@sed -n 's/^\([a-z-]*\): .*## /  make \1\t/p' Makefile | expand -t 22
	@echo
	@sed -n 's/^\([A-Z_]*\) *?= *# /  \1=…\t/p' Makefile | expand -t 22

setup: ## prepare this clone (every other target does it too)
	@sh harness/bootstrap.sh

doctor: ## tell what was found on this machine, and what is missing; installs nothing
	@sh harness/bootstrap.sh look && $(PYTHON) -m frame_harness.cli.doctor $(ARGS)

qemu-test: setup ## judge a frame.rs (FRAME_RS=…, else the built-in one) under QEMU
	@$(HARNESS) check $(CHECK) $(ARGS)

watch: setup ## judge FRAME_RS=… or KERNEL_SRC=… again each time it is saved, until Ctrl-C
	@$(HARNESS) watch $(CHECK) $(ARGS)

mutate: setup ## put bugs into FRAME_RS=… or KERNEL_SRC=…, say which of them nobody would notice
	@$(HARNESS) mutate $(if $(FRAME_RS)$(KERNEL_SRC),,--explained tests/survivors/built-in.toml) $(addprefix --machine ,$(MACHINE)) $(addprefix --profile ,$(PROFILE)) $(ARGS)

test: lint ## run everything that proves the harness itself
	@$(PYTHON) -m pytest -n 3 --dist worksteal $(ARGS)

mutants: setup ## run the tests that take a minute or more: each bug of the red suite in a whole run, and others (hours)
	@$(PYTHON) -m pytest -n 2 --dist worksteal -m whole tests $(ARGS)

lint: setup ## check format, types and style of all Python and Rust
	@$(PYTHON) tests/style/lint.py

check: lint ## the quick part of test: what needs no guest, in a minute; the shim's host tests with it
	@$(PYTHON) -m pytest -n 2 --dist worksteal -m 'not slow and not whole and not programs or quick' tests/unit tests/property tests/style $(ARGS)

bench: setup ## measure speed against the floor of this machine
	@$(HARNESS) bench $(ARGS)

fuzz: setup ## play random histories against the reference model
	@$(HARNESS) fuzz $(addprefix --time ,$(TIME)) $(addprefix --machine ,$(MACHINE)) $(addprefix --profile ,$(PROFILE)) $(ARGS)

storm: setup ## let several CPUs work on the same frames for a minute, or TIME=…
	@$(HARNESS) storm $(addprefix --time ,$(TIME)) $(addprefix --machine ,$(MACHINE)) $(addprefix --profile ,$(PROFILE)) $(ARGS)

clauses: setup ## list the contract's clauses with the checks of each
	@$(HARNESS) clauses $(ARGS)

pictures: setup ## make the pictures of the HTML report again, in .build/pictures (needs Chromium)
	@$(PYTHON) -m tests.support.screenshots .build/pictures $(ARGS)

clean: ## remove everything that was made here
	@rm -rf .build .venv dist kernel_shim/target
