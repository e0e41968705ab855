# Every command of the project; `make` alone lists them. What they write (.venv, build, dist,
# demo-run) is ignored by git. Needed: Python 3.11+ with venv and headers, make, a C++20 compiler.
# CMake and Ninja come from the package index.

SHELL := bash
.SHELLFLAGS := -eo pipefail -c
PYTHON ?= python3
VENV := .venv
PY := $(VENV)/bin/python
PIP := $(PY) -m pip --disable-pip-version-check --quiet --no-input
# The requirements of one list of pyproject.toml: `build`, or the name of an extra, whose own extras
# of tamis are resolved here, because tamis itself comes from this folder.
define REQUIREMENTS
import re, sys, tomllib
project = tomllib.load(open("pyproject.toml", "rb"))
extras = project["project"]["optional-dependencies"] | {"build": project["build-system"]["requires"]}
def listed(name):
    for line in extras[name]:
        inner = re.fullmatch(r"tamis\[(.*)\]", line)
        if inner:
            for extra in inner[1].split(","):
                yield from listed(extra.strip())
        else:
            yield line
print(*dict.fromkeys(listed(sys.argv[1])), sep="\n")
endef
export REQUIREMENTS
requirements = $(PY) -c "$$REQUIREMENTS" $(1)
install = $(call requirements,$(1)) | $(PIP) install -c constraints.txt -r /dev/stdin $(2)

.DELETE_ON_ERROR:
.PHONY: help demo test wheel bench cuda lint clean FORCE

help:
	@echo 'make demo   build tamis and curate the sample pool (into demo-run/)'
	@echo 'make test   build tamis and run the test suite; ARGS="-k name" goes to pytest'
	@echo 'make bench  compare the kernels with faiss, scikit-learn, torch and numpy; ARGS="..."'
	@echo 'make cuda   compile the CUDA module, check its machine code, execute its PTX; no GPU needed'
	@echo 'make wheel  build a manylinux wheel into dist/ and test it in a clean environment'
	@echo 'make lint   ruff, mypy --strict, clang-format'
	@echo 'make clean  remove what the other commands wrote, .venv excepted'
	@echo 'PYTHON=python3.12 chooses the Python that .venv is made with'

# A demo is there to be watched: the finished run is removed, so that each call shows the work. The
# steps that need extras join in once `make test` has installed those; see tests/torchvision_guard.
demo: $(VENV)/.installed
	@rm -rf demo-run
	@PYTHONPATH=tests/torchvision_guard $(VENV)/bin/tamis curate recipes/demo.toml --out demo-run

# A worker for each core, up to 4, each with whole files of tests; ARGS="-n 0" goes without.
test: $(VENV)/.installed $(VENV)/.test
	@$(PY) -m pytest -n logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder $(ARGS)

bench: $(VENV)/.installed $(VENV)/.bench
	@$(PY) bench/run.py $(ARGS)

lint: $(VENV)/.installed $(VENV)/.lint
	@failed=0; \
	$(VENV)/bin/ruff check . || failed=1; \
	$(VENV)/bin/ruff format --check . || failed=1; \
	$(VENV)/bin/mypy || failed=1; \
	find cpp tests -name '*.h' -o -name '*.cpp' -o -name '*.cu' | sort \
	  | xargs $(VENV)/bin/clang-format --dry-run -Werror || failed=1; \
	exit $$failed

clean:
	rm -rf build dist demo-run .pytest_cache .hypothesis .mypy_cache .ruff_cache
	rm -f $(VENV)/.installed $(VENV)/.sources
	find . -path ./$(VENV) -prune -o -name __pycache__ -type d -print | xargs rm -rf

# --- the environment -------------------------------------------------------------------------

$(PY):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' \
	  || { echo 'tamis needs Python 3.11 or newer; name one: make PYTHON=python3.12 ...'; exit 1; }
	@$(PYTHON) -c 'import os, sysconfig as s; os.stat(s.get_path("include") + "/Python.h")' \
	  2>/dev/null || { echo 'Python.h is missing; on Debian and Ubuntu: apt install python3-dev'; \
	  exit 1; }
	@command -v $(CXX) >/dev/null \
	  || { echo 'a C++ compiler is missing; on Debian and Ubuntu: apt install g++'; exit 1; }
	@$(PYTHON) -m venv $(VENV) || { rm -rf $(VENV); \
	  echo 'python3 -m venv failed; on Debian and Ubuntu: apt install python3-venv'; exit 1; }

# The build runs in .venv, with the pinned tools and without isolation, so that a second build
# recompiles only what changed.
$(VENV)/.build: constraints.txt pyproject.toml | $(PY)
	@echo 'installing the build tools into $(VENV)'
	@$(call install,build,cmake ninja)
	@touch $@

$(VENV)/.test $(VENV)/.bench $(VENV)/.lint: $(VENV)/.%: constraints.txt pyproject.toml | $(PY)
	@echo 'installing the $* tools into $(VENV)'
	@$(call install,$*)
	@touch $@

# The contents, not the dates, of all that goes into the package decide whether it is built anew.
$(VENV)/.sources: FORCE | $(PY)
	@{ find cpp cmake python recipes CMakeLists.txt pyproject.toml README.md LICENSE -type f \
	  ! -name '*.so' ! -name '*.py[co]' | LC_ALL=C sort | xargs sha256sum; } > $@.new
	@cmp -s $@.new $@ && rm $@.new || mv $@.new $@

$(VENV)/.installed: $(VENV)/.sources $(VENV)/.build
	@echo 'building and installing tamis'
	@$(PIP) install -c constraints.txt --no-build-isolation .
	@touch $@

# --- CUDA ------------------------------------------------------------------------------------

# Where there is no nvcc, it comes from the package index. TAMIS_CUDA=ON needs no driver.
cuda: $(VENV)/.installed $(VENV)/.test
	@tools/cuda.sh $(abspath $(PY))

# --- the wheel -------------------------------------------------------------------------------

wheel: $(VENV)/.installed $(VENV)/.test
	@tools/wheel.sh $(abspath $(PY))
