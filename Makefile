# `make help` lists what there is. Every command installs what it needs first.
SWIFT ?= swift
CONFIGURATION ?= release
LTM = .build/$(CONFIGURATION)/ltm
SOURCES = Package.swift Sources Tests passes grammar bench

.PHONY: help setup build run test proof fuzz sanitize bless format lint reference bench gpu-archive clean

help: ## lists the commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "  make %-10s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

setup: ## installs what is missing (llvm-22-dev, libpng-dev, libjpeg-dev)
	@scripts/setup.sh

build: setup ## builds the ltm command: .build/release/ltm
	$(SWIFT) build -c $(CONFIGURATION) --product ltm

run: build ## trains samples/digits.ltm on the digits at O2 in fp16
	$(LTM) train samples/digits.ltm --precision 16 --amp-level O2

test: setup ## builds and runs every test
	scripts/test.sh

proof: setup ## what the targets cuda and tpu are proved by without a device, at every level: ptxas, SASS, XLA, libtpu
	LTM_LIBTPU=1 scripts/tools.sh
	$(SWIFT) build -c $(CONFIGURATION) --build-tests
	LTM_WHOLE=1 $(SWIFT) test -c $(CONFIGURATION) --skip-build --filter 'PTXTests.SampleTests|HLOTests.SampleTests|ConformanceTests.(OpTests|ProgramTests)'
	LTM_KILLS=200 $(SWIFT) test -c $(CONFIGURATION) --skip-build --filter KillTests
	scripts/onnx/node_tests.sh
	python3 scripts/ranks/proof.py

fuzz: setup ## libFuzzer under the address sanitizer on what reads files, a minute each: docs/fuzzing.md
	scripts/fuzz.sh

sanitize: setup ## the tests of what several threads do, under the thread sanitizer: docs/fuzzing.md
	scripts/sanitize.sh

bless: setup ## records the golden files anew; look at the diff before committing it
	LTM_BLESS=1 $(SWIFT) test -c $(CONFIGURATION)

format: ## formats the Swift sources
	$(SWIFT) format -i -r $(SOURCES)

lint: ## checks the format, strictly
	$(SWIFT) format lint --strict -r $(SOURCES)

reference: build ## compares 20 steps with PyTorch's curves (PYTHON names one with torch, numpy, safetensors)
	scripts/reference/compare.sh

bench: setup ## measures ours and the peers in PEERS side by side: bench/README.md
	$(SWIFT) build -c release --product ltm-bench
	bench/run.sh

gpu-archive: ## makes .build/ltm-gpu-check.tar.xz, which checks the target cuda on a machine with a GPU
	@scripts/gpu-archive.sh

clean: ## removes what was built
	rm -rf .build
