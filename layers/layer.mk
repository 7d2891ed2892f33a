# What the layers' Makefiles share. SAM copies a layer's own folder to a scratch place and runs its
# target there with ARTIFACTS_DIR set, but reads the Makefile where it lies: hence the include by
# absolute path. Neither Python 3.13 nor a container is needed to build for either machine.
ARCH ?= arm64
PYTHON_VERSION ?= 3.13
COMPILER ?= python$(PYTHON_VERSION)
MACHINE = $(patsubst arm64,aarch64,$(ARCH))
PACKAGES = $(ARTIFACTS_DIR)/python

# The wheels of requirements.txt for the functions' machine: by uv where "make build" brings it along,
# else by the pip on PATH. Amazon Linux 2023 has glibc 2.34, which runs all that these tags allow.
GLIBC_TAGS = manylinux_2_28 manylinux_2_27 manylinux_2_26 manylinux_2_24 manylinux_2_17 manylinux2014
define install
mkdir -p "$(PACKAGES)"; \
if command -v uv >/dev/null; then \
	uv pip install --quiet --target "$(PACKAGES)" --link-mode copy --no-deps --require-hashes \
		--only-binary :all: --python-version $(PYTHON_VERSION) \
		--python-platform $(MACHINE)-manylinux_2_28 -r requirements.txt; \
elif python3 -m pip --version >/dev/null 2>&1; then \
	python3 -m pip install --quiet --disable-pip-version-check --target "$(PACKAGES)" --no-compile \
		--no-deps --require-hashes --only-binary :all: \
		--implementation cp --python-version $(PYTHON_VERSION) \
		$(foreach tag,$(GLIBC_TAGS),--platform $(tag)_$(MACHINE)) -r requirements.txt; \
else \
	echo "Building a layer needs uv or pip on PATH; 'make build' brings uv along." >&2; exit 1; \
fi && cd "$(PACKAGES)" && rm -rf bin .lock && find . -name '*.pyi' -exec rm {} +
endef

# Bytecode: /opt is read-only, so without it every cold start compiles all that it imports. Found by
# hash, as zipping does not keep times; unchecked, as nothing changes there. Where no interpreter of
# the right version works, "make build" says so, or else (a plain "sam build") the layer itself.
define compile
find "$(PACKAGES)" -name __pycache__ -prune -exec rm -rf {} +; \
if $(COMPILER) -c 'import sys; sys.exit("%d.%d" % sys.version_info[:2] != "$(PYTHON_VERSION)")' >/dev/null 2>&1; then \
	$(COMPILER) -m compileall -q --invalidation-mode unchecked-hash \
		-s "$(ARTIFACTS_DIR)" -p /opt "$(PACKAGES)"; \
elif [ $(MAKELEVEL) -eq 0 ]; then \
	echo "$(@:build-%=%): no working $(COMPILER) on PATH, so no bytecode in this layer."; \
fi
endef
