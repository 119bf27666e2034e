# Snug: everything that is typed in a checkout. Each target may be made again and again.
#
# Works as root and as an ordinary user with sudo. Cargo runs as the owner of the checkout, so that no file of root's
# gets into it; only what touches the system runs as root.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

PROFILE ?= release
PREFIX ?= /usr
DESTDIR ?= /
STATE_DIR ?= /var/lib/snug
LIBEXEC = $(PREFIX)/libexec/snug

ME := $(shell id -u)
SUDO := $(if $(filter 0,$(ME)),,sudo)
OWNER := $(if $(filter 0,$(ME)),$(shell stat -c %U .),$(shell id -un))
OWNER_HOME := $(shell getent passwd $(OWNER) | cut -d: -f6)
# sudo resets PATH: cargo is then where rustup puts it, in the owner's home.
CARGO_PATH := $(OWNER_HOME)/.cargo/bin:$(PATH)
# Empty, or for root in somebody's checkout: become him.
BECOME := $(if $(filter 0,$(ME)),$(if $(filter root,$(OWNER)),,runuser -u $(OWNER) --))
AS_OWNER := $(BECOME) env PATH="$(CARGO_PATH)" $(if $(BECOME),HOME="$(OWNER_HOME)")
CARGO := $(AS_OWNER) cargo
TARGET := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),$(CURDIR)/target)
BED := $(SUDO) $(TARGET)/debug/snug-testbed
XTASK := $(TARGET)/debug/xtask
XTASK_AS_OWNER := $(AS_OWNER) $(XTASK)
PLACE := --prefix $(PREFIX) --state-dir $(STATE_DIR) --destdir $(DESTDIR)

# What compiles the tests that only root can run (xtask/src/suites.rs builds them).
AS_ROOT := snug-testbed/real-stack,snugd/root-tests,snugd/failpoints,snug-agent/root-tests,snug-hook/root-tests,incus-client/real-incus,snug-packages/root-tests
# A suite of them: where the client's tests find the Incus that they may use.
RUN_SUITE := $(SUDO) env INCUS_CLIENT_TEST_SOCKET=/var/lib/incus/unix.socket INCUS_CLIENT_TEST_IMAGE=minimal/busybox

# Where cargo-nextest is missing, cargo's own runner does.
NEXTEST := $(shell PATH="$(CARGO_PATH)" command -v cargo-nextest 2>/dev/null)

# The stack is one for the whole machine: two runs at once would find each other's containers. The lock is not passed on to
# the daemons that a run starts.
LOCKED := flock --close /run
# Names of the suites that failed.
FAILED := $(TARGET)/failed-suites

.PHONY: help try try-config up down test test-fast test-real suites bench measure install install-tests uninstall lint tools build

help: ## show this
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

try: up try-config ## prepare this machine and say what to type to try Snug
	@printf '%s\n' '' 'Snug is ready. As the user tester:' '' \
	  '    $(if $(SUDO),sudo )su - tester' '' \
	  '    snug enter                     # a shell in the container "tools"' \
	  '    snug run -- cat /etc/os-release' \
	  '    echo hi | snug run wc -c' \
	  '    snug                           # what there is, and what to do next' '' \
	  'Any other user of this machine may type the same. "make down" ends it, "make uninstall" removes Snug.'
	@[ -d /run/systemd/system ] || printf '%s\n' '' \
	  'No systemd runs here. What it does on other hosts is done by typing, as root:' '' \
	  '    $(LIBEXEC)/snugd follow &      # running containers follow devices, time zone, resolver' \
	  '    chmod 666 /dev/net/tun         # as udev has it: rootless networks in containers'

try-config:
	@if [ -e /etc/snug/config.toml ]; then \
	  grep -q '^default_image' /etc/snug/config.toml || \
	    echo 'make: /etc/snug/config.toml is yours and sets no default_image: left as it is' >&2; \
	else \
	  echo 'make: writing /etc/snug/config.toml (default_image = "local:debian/13")' >&2; \
	  $(SUDO) mkdir -p /etc/snug; \
	  printf '%s\n' '# Written by `make try`.' 'default_image = "local:debian/13"' | $(SUDO) tee /etc/snug/config.toml >/dev/null; \
	fi

up: install ## build, install, bring the real stack up, make the user tester
	@$(BED) up

down: tools ## bring the stack down: no process, mount or interface stays (DOWN=--purge: no data and user either)
	@$(BED) down $(DOWN)

test: test-fast test-real ## everything: unit tests, then the suites on the real stack

test-fast: ## tests that need no root
	@echo 'make: tests without the real stack' >&2
ifneq ($(NEXTEST),)
	@$(CARGO) nextest run --locked --workspace --no-fail-fast
else
	@$(CARGO) test --locked --workspace --lib --bins --tests --no-fail-fast
endif
	@$(CARGO) test --locked --workspace --doc --quiet

test-real: tools ## what needs root and the real stack, one test after another (SUITE=, TEST= choose)
	@flock --nonblock --close /run true || echo 'make: another run uses the stack: waiting for its end' >&2
	@$(LOCKED) $(MAKE) suites

# What calls make again has a line of its own: such a line runs under `make -n` too.
suites: install-tests
	@$(BED) up --for-tests
	@echo 'make: tests on the real stack' >&2
	@rm -f $(FAILED); suites=$$($(XTASK_AS_OWNER) real-stack-suites --filter '$(SUITE)'); \
	  for suite in $$suites; do \
	    name=$$(basename $${suite%-*}); \
	    echo "make: $$name" >&2; \
	    $(RUN_SUITE) $$suite --test-threads=1 $(TEST) </dev/null || echo "make: failed: $$name" >>$(FAILED); \
	  done
	@cat $(FAILED) 2>/dev/null >&2 || true
ifeq ($(SUITE)$(TEST)$(LEAVE_TESTED),)
	@echo 'make: putting the build without failpoints in the place of the tested one' >&2
	@$(MAKE) install
endif
	@[ ! -e $(FAILED) ] || { cat $(FAILED) >&2; exit 1; }

bench: tools ## measure every row of the budgets against nsenter, incus exec and the host (BENCH="--only run --quick")
	@$(LOCKED) $(MAKE) measure

measure: up
	@$(BED) bench $(BENCH) >$(TARGET)/bench.json; echo 'make: written $(TARGET)/bench.json' >&2

tools:
	@$(CARGO) build --quiet --locked -p snug-testbed -p xtask --bins

build: tools ## build what is installed
	@$(XTASK_AS_OWNER) build --profile $(PROFILE) $(PLACE) $(BUILD_OPTIONS)

install: build ## install into the system (PREFIX, STATE_DIR, DESTDIR)
	@$(SUDO) $(XTASK) install --no-build --profile $(PROFILE) $(PLACE)

install-tests:
	@$(MAKE) install BUILD_OPTIONS=--failpoints

uninstall: tools ## detach Snug from its containers, remove exactly what `install` installed
	@$(if $(filter /,$(DESTDIR)),$(BED) with-incus --,$(SUDO)) $(XTASK) uninstall $(PLACE)

lint: tools ## format, clippy, documentation, licences, the agent's contents
	@$(CARGO) fmt --all --check
	@$(CARGO) clippy --quiet --locked --workspace --all-targets -- -D warnings
	@$(CARGO) clippy --quiet --locked -p snug-testbed -p snugd -p snug-agent -p snug-hook -p snug-packages -p incus-client --all-targets --features $(AS_ROOT) -- -D warnings
	@$(AS_OWNER) env RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --workspace --no-deps --document-private-items
	@$(XTASK_AS_OWNER) licences
	@$(XTASK_AS_OWNER) agent
	@echo 'make: lint is clean' >&2
