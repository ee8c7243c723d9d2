# Everything a fresh Debian, Ubuntu or macOS machine with Python 3.11+ needs; each target does its own set-up once.
#   make            the tool at .venv/bin/paperwire
#   make demo       a week of real papers, replayed locally; ARGS=--once ends by itself
#   make run        the same on the live sources of deploy/paperwire.toml
#   make test       everything CI runs
#   make crash      every kill, power cut, failing call and flipped bit of the archive; ARGS="--share ci kills"
#   make lint       format, types, imports
#   make bench-archive   the archive beside dlt and DuckDB; ARGS="--sizes 100000"
#   make bench-publish   1,000 topics over a large archive; ARGS="--papers 1000000"
#   make bench-finding   queries, previews and counts by day; ARGS="--papers 1000000"
#   make bench-sources   every format, arXiv's snapshot end to end, and reader beside us; ARGS="--snapshot 3000000"

UV_VERSION = 0.13.9
TOOL = .venv/bin/paperwire
export PAPERWIRE_HOME ?= $(CURDIR)/.paperwire
export UV_PYTHON_DOWNLOADS = never
export UV_NO_PROGRESS = 1

.DEFAULT_GOAL := $(TOOL)
.PHONY: demo run test lint crash bench bench-archive bench-sources bench-publish bench-finding clean

.venv/bin/uv:
	@deploy/make-venv .venv "$(UV_VERSION)" $(PYTHON)

$(TOOL): .venv/bin/uv pyproject.toml uv.lock
	@echo "setting up .venv (once)"
	@.venv/bin/uv sync --quiet --locked --no-default-groups
	@touch $(TOOL)

.venv/.dev: $(TOOL) deploy/install-test-programs tests/npm/package-lock.json
	@.venv/bin/uv sync --quiet --locked
	@deploy/install-test-programs
	@touch .venv/.dev

demo: $(TOOL)
	@$(TOOL) demo $(ARGS)

run: $(TOOL)
	@$(TOOL) up --config deploy/paperwire.toml $(ARGS)

lint: .venv/.dev
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@.venv/bin/mypy
	@.venv/bin/lint-imports

test: export PAPERWIRE_MAKE_TEST = 1
test: lint
	@.venv/bin/pytest -q -n 2 --dist loadfile --no-loadscope-reorder --durations 10 $(ARGS)

crash: .venv/.dev
	@.venv/bin/python -m tests.crash $(ARGS)

bench: .venv/.dev
	@for name in parsing query readable trending; do echo "== $$name"; .venv/bin/python -m bench.$$name || exit 1; done

bench-archive: .venv/.dev
	@.venv/bin/uv sync --quiet --locked --group bench
	@.venv/bin/python -m bench.archive $(ARGS)

bench-sources: .venv/.dev
	@.venv/bin/uv sync --quiet --locked --group bench
	@.venv/bin/python -m bench.sources $(ARGS)

bench-publish: .venv/.dev
	@.venv/bin/python -m bench.publish $(ARGS)

bench-finding: .venv/.dev
	@.venv/bin/python -m bench.finding $(ARGS)

clean:
	rm -rf .venv .demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache tests/npm/node_modules
