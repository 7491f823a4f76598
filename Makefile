# make run: the whole chain.  make test: the tests.  make serve: everything that keeps it running.  Everything else is `robo` and `dvc` in .venv.
# Where it is set, nothing keeps its bytecode and every import takes three times as long.
unexport PYTHONDONTWRITEBYTECODE

PYTHON ?= python3
READY = .venv/.complete
# Several tests at once, one thread each: many wait for servers and processes. `.venv/bin/python -m pytest` runs one after the other.
PYTEST = OMP_NUM_THREADS=1 .venv/bin/python -m pytest --numprocesses auto --maxprocesses 4 --dist worksteal

run: $(READY)
	@.venv/bin/robo run

test: $(READY)
	@$(PYTEST)

# They build the whole chain and talk to a real Ollama and a real object store, which are built from packages where there are none
# (10 and 4 minutes, once).
test-slow: $(READY) ollama versitygw
	@$(PYTEST) -m slow --durations 40

# Pages, schedule and reconciler, until Ctrl-C.
serve: $(READY)
	@.venv/bin/robo serve

setup: $(READY)

# An environment that was moved or copied is made anew: it knows the place where it was made, and uses that.
MADE_IN = $(shell cat $(READY) 2>/dev/null)
ifneq ($(MADE_IN),)
ifneq ($(MADE_IN),$(shell realpath .venv))
.PHONY: $(READY)
endif
endif

$(READY): requirements.lock boards.lock scripts/setup.py
	@$(PYTHON) scripts/setup.py

ollama: $(READY)
	@.venv/bin/python scripts/ollama.py --build

versitygw: $(READY)
	@.venv/bin/python scripts/versitygw.py --build

# A PYTHONPATH that names this folder would hide what stands beside a script from ty.
lint: $(READY)
	@.venv/bin/ruff format --check .
	@.venv/bin/ruff check .
	@env -u PYTHONPATH .venv/bin/ty check

# After a change of the dependencies in pyproject.toml. Names, versions and hashes only, for every platform.
lock: $(READY)
	@.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate --all-extras \
		pyproject.toml --output-file requirements.lock

clean:
	rm -rf .venv .state data models metrics reports

.PHONY: run test test-slow serve setup ollama versitygw lint lock clean
