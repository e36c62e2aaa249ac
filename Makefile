# Needs python3 (3.11 or later), git and make. Everything else is fetched by uv, and uv by bin/get-uv where it is missing.
UV := $(shell command -v uv || echo .uv/bin/uv)
RUN := $(UV) run --locked

# Some other project's active virtual environment would only make uv warn.
unexport VIRTUAL_ENV

.PHONY: help install up demo test test-matrix lint bench-ingest bench-query bench-reads bench-tail bench-import bench-retention bench-emitter bench-throughput bench-outage bench-outbox openapi

help: ## list these targets
	@sed -n 's/^\([a-z-]*\):.*## /  make \1\t/p' Makefile | expand -t 24

install: $(UV) ## install what is needed, or what a new version needs
	@$(UV) sync --locked

up: $(UV) ## start Postgres, the web server and the worker (PORT, DATABASE_URL)
	@$(RUN) python manage.py up

demo: $(UV) ## start everything with a shop that sends events
	@$(RUN) python -m examples.demo

test: $(UV) ## run the tests, on a Postgres of their own (ARGS="-k partitions")
	@$(RUN) python -m tests $(ARGS)

test-matrix: $(UV) ## run the emitter's tests on each Django with each Python
	@UV=$(UV) $(RUN) python -m tests.matrix $(ARGS)

lint: $(UV) ## check style, types and layers
	@$(RUN) ruff check
	@$(RUN) ruff format --check
	@$(RUN) mypy
	@$(RUN) lint-imports

bench-ingest: $(UV) ## measure how many events a second are stored
	@$(RUN) python -m benchmarks.ingest

bench-query: $(UV) ## measure how fast questions are answered, of 10 million events (ARGS="--events 300000 --folder /tmp/q")
	@$(RUN) python -m benchmarks.query $(ARGS)

bench-reads: $(UV) ## measure how much slower reads are for being recorded (ARGS="--rounds 10")
	@$(RUN) python -m benchmarks.reads $(ARGS)

bench-tail: $(UV) ## measure how late 200 tails are, and what they cost ingest (ARGS="--rounds 3")
	@$(RUN) python -m benchmarks.tail $(ARGS)

bench-import: $(UV) ## bring a million entries of django-auditlog along, and kill it twice (ARGS="--entries 20000")
	@$(RUN) python -m benchmarks.import_history $(ARGS)

bench-retention: $(UV) ## measure what dropping, deleting and erasing cost ingest (ARGS="--events 10000000")
	@$(RUN) python -m benchmarks.retention $(ARGS)

bench-emitter: $(UV) ## measure what capturing adds to a save, beside other libraries (ARGS="--rounds 3")
	@$(RUN) --group bench python -m benchmarks.emitter $(ARGS)

bench-throughput: $(UV) ## measure how many events a second one process delivers, beside other SDKs (ARGS="--rounds 3")
	@$(RUN) --group bench python -m benchmarks.throughput $(ARGS)

bench-outage: $(UV) ## capture a million events while the service is away, to a spool and to an outbox (ARGS=--quick)
	@$(RUN) python -m benchmarks.outage $(ARGS)

bench-outbox: $(UV) ## kill clients, relays and the service at random moments, and count (ARGS="--rounds 5 --transactions 2000")
	@$(RUN) python -m benchmarks.outbox_kill $(ARGS)

openapi: $(UV) ## write openapi.yaml from the code
	@$(RUN) python manage.py spectacular --file openapi.yaml

.uv/bin/uv:
	@python3 bin/get-uv
