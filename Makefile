# The front door. `make demo` and `make test` install what is missing, build and run; nothing else is asked of the user.

BUILD ?= build
SANITIZED ?= build-asan
DOCKER ?= docker

all: $(BUILD)/build.ninja
	ninja -C $(BUILD)
	ln -sf src/cli/ix $(BUILD)/ix

$(BUILD)/build.ninja: | deps-build
	meson setup $(BUILD) -Dtests=false

demo: deps-demo all
	examples/shop/demo.py --ix $(CURDIR)/$(BUILD)/ix

test: deps-test
	tools/test $(SANITIZED)

install: all
	meson install -C $(BUILD)

# Each case with ix in three ways (one store, an empty store each, an ordinary user) and, where an engine answers, with docker; CONFORMANCE=--record
# writes the record anew. Then random projects, built in many ways, and random changes, whose keys are held against what comes out.
conformance: deps-test all
	tests/conformance/run.py --ix $(CURDIR)/$(BUILD)/ix --docker "$(DOCKER)" --way shared --way empty --way user $(CONFORMANCE)
	tests/random/projects.py --ix $(CURDIR)/$(BUILD)/ix --count 2000
	tests/random/keys.py --ix $(CURDIR)/$(BUILD)/ix --count 500 --show-needless
	IX_FULL=1 IX=$(CURDIR)/$(BUILD)/src/cli/ix /usr/bin/python3 -B -m pytest -q -p no:cacheprovider tests/it/test_faults.py tests/it/test_publish.py

lint: deps-lint
	tools/lint

threads: deps-test
	tools/threads

fuzz: deps-lint
	tools/fuzz

bench: deps-demo all
	bench/run --ix $(CURDIR)/$(BUILD)/ix

deps-build deps-demo deps-test deps-lint:
	tools/install-deps $(patsubst deps-%,%,$@)

clean:
	rm -rf build build-*

.PHONY: all demo test conformance install lint threads fuzz bench clean deps-build deps-demo deps-test deps-lint
