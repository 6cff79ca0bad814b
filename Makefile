# The commands that people type. Most call infra/local, tests or cargo; `make` alone lists them all.

LOCAL := python3 infra/local
TESTING := python3 tests/run.py
TOOLS := $(or $(ADMIT_TOOLS),$(CURDIR)/target/tools)
export ADMIT_TOOLS := $(TOOLS)
CARGO_TOOLS := $(TOOLS)/cargo/bin

.DEFAULT_GOAL := help
.PHONY: help up down status logs clean-data test steps bench test-pages pictures test-compose fuzz faults chaos mutants model invoke redrive check functions queries fmt template cost deploy destroy test-deploy

help: ## list these commands
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/' | expand -t 20

up: ## install what is missing, start everything, book a ticket (PORT=9200 make up moves the API)
	@$(LOCAL) up

down: ## stop everything; the data stays
	@$(LOCAL) down

status: ## what runs, and where
	@$(LOCAL) status

logs: ## show the functions' logs in a readable form
	@$(LOCAL) logs

clean-data: ## forget the data of the stopped stack
	@$(LOCAL) clean-data

test: ## every test, in five lanes with a stack each (TESTS='-p tests booking' picks some, on one stack)
	@$(TESTING) test $(TESTS)

steps: ## the tests that need PostgreSQL alone, in seconds (STEPS=fair picks some)
	@$(TESTING) steps $(STEPS)

bench: ## measure everything on an idle machine, and write docs/PERFORMANCE.md's tables (ONLY=starts for one part)
	@ADMIT_BENCH_ONLY=$(ONLY) $(TESTING) bench

test-pages: ## the pages in a real browser, against a stack of its own (two minutes)
	@python3 tests/pages/run.py

pictures: ## take the README's pictures of the pages
	@python3 tests/pages/run.py --pictures

test-compose: ## test the stores as containers, in Podman with stand-in images (needs root; ten minutes at first)
	@python3 tests/compose/run.py

fuzz: ## send the running API valid and invalid requests, made from its description (EXAMPLES=500 for longer)
	@python3 tests/fuzz/run.py $(or $(EXAMPLES),100)

faults: ## every fault at every boundary, one at a time; writes target/faults.md (two hours)
	@ADMIT_FAULTS_WHOLE=1 $(TESTING) test -p tests --test faults -- --nocapture

chaos: ## customers book while everything fails (make chaos SECONDS=120 SEED=7)
	@ADMIT_CHAOS_SECONDS=$(or $(SECONDS),120) ADMIT_CHAOS_SEED=$(or $(SEED),1) \
	    $(TESTING) test -p tests --test chaos -- --nocapture

mutants: ## reintroduce known bugs one by one, and report which check catches each (PATCHES=folder for yours)
	@python3 tests/mutants/run.py $(PATCHES)

invoke: ## invoke a function with its sample event, as the demo user (make invoke FUNCTION=get-booking)
	@$(LOCAL) invoke $(or $(FUNCTION),list-events)

redrive: ## put dead letters and the quarantine back
	@$(LOCAL) redrive

model: ## the booking protocol's model, checked exhaustively (FAULTS=2 for more at once, long)
	ADMIT_MODEL_FAULTS=$(or $(FAULTS),1) cargo test --locked -p model -- --nocapture

check: $(CARGO_TOOLS)/cargo-deny $(CARGO_TOOLS)/cargo-machete ## the checks that CI runs before the tests
	cargo fmt --all -- --check
	SQLX_OFFLINE=true cargo clippy --workspace --all-targets --locked -- --deny warnings
	SQLX_OFFLINE=true cargo check --release --locked --quiet -p shared -p operations # without its fault points
	@$(LOCAL) functions --check
	@$(LOCAL) queries --check
	SQLX_OFFLINE=true RUSTDOCFLAGS='--deny warnings' cargo doc --workspace --no-deps --locked --quiet
	$(CARGO_TOOLS)/cargo-deny --log-level error check bans licenses sources
	$(CARGO_TOOLS)/cargo-machete
	@$(LOCAL) template
	@python3 infra/cost/run.py --check
	@python3 tests/mutants/run.py --check

functions: ## regenerate what is derived from functions.toml, after adding or changing a function
	@$(LOCAL) functions

queries: ## write .sqlx anew, after a query or a migration has changed
	@$(LOCAL) queries

template: ## check the templates and the runbook
	@$(LOCAL) template

cost: ## what a month on AWS costs (make cost BOOKINGS=1000000)
	@python3 infra/cost/run.py $(or $(BOOKINGS),1000000)

test-deploy: ## build, deploy into AWS's emulator, use, update and delete it (a quarter of an hour at first)
	@python3 tests/deploy/run.py

deploy: ## put Admit on AWS, in your account (make deploy STAGE=production)
	@$(LOCAL) deploy $(or $(STAGE),default)

destroy: ## delete it again, keeping the databases' last snapshots
	@$(LOCAL) destroy $(or $(STAGE),default)

fmt: ## format the code
	cargo fmt --all

$(CARGO_TOOLS)/cargo-deny:
	cargo install --quiet --locked --root $(TOOLS)/cargo cargo-deny@0.20.2

$(CARGO_TOOLS)/cargo-machete:
	cargo install --quiet --locked --root $(TOOLS)/cargo cargo-machete@0.9.2
