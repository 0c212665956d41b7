# Jhalak. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Build products outlive a checkout where there is room for them.
CACHE := $(or $(JHALAK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jhalak)
export CARGO_TARGET_DIR ?= $(CACHE)/target
RELEASE := $(CARGO_TARGET_DIR)/release

.PHONY: help run test setup build install docs bench-media bench-train bench-inference fuzz-media cluster cluster-down check fmt lint lint-slim circles clean-local

help: ## List the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: setup build ## Set everything up and run everything on the demo dataset
	$(RELEASE)/jhalak run --dataset .local/demo/dataset --config demo/jhalak.toml

test: ## Set up what the tests need and run every test
	scripts/setup.sh test
	scripts/test.sh

setup: ## Install and fetch what a run needs (reports what and why)
	scripts/setup.sh run

build: ## Build the programs
	cargo build --release --locked --workspace --bins

PREFIX ?= $(HOME)/.local
install: setup build ## Install the programs, completions and manual pages to PREFIX (~/.local), and the models to the cache
	install -D -m 755 $(RELEASE)/jhalak $(PREFIX)/bin/jhalak
	install -D -m 755 $(RELEASE)/jhalak-worker $(PREFIX)/bin/jhalak-worker
	mkdir -p $(PREFIX)/share/bash-completion/completions $(CACHE)/models $(CACHE)/onnxruntime
	$(PREFIX)/bin/jhalak completions bash > $(PREFIX)/share/bash-completion/completions/jhalak
	$(PREFIX)/bin/jhalak man --out $(PREFIX)/share/man/man1
	cp -n .local/models/* $(CACHE)/models/
	cp -n .local/onnxruntime/* $(CACHE)/onnxruntime/

docs: build ## Build the documentation as a book in the cache folder
	scripts/docs/book.sh $(RELEASE)/jhalak $(CACHE)/book

cluster: setup-test build ## Start RabbitMQ, S3 and two workers on loopback, and submit the demo
	scripts/cluster.sh up

cluster-down: ## Stop exactly what `make cluster` started
	scripts/cluster.sh down

soak: setup-test ## Run random faults for SECONDS (600), drawn from SEED (printed; random by default)
	JHALAK_SOAK_SECONDS=$(or $(SECONDS),600) JHALAK_SOAK_SEED=$(SEED) scripts/test.sh --test faults schedule -- --nocapture

image-test: setup-test build ## Build the image of k8s/ and run a whole small run in it (root; Debian's buildah and others)
	scripts/image_test.sh

bench-queue: setup-test ## Measure the cost of distribution: rates, cluster against embedded, 100,000 trailers
	scripts/bench_queue.sh

.PHONY: setup-test soak bench-queue fuzz-messages image-test
setup-test:
	scripts/setup.sh test

check: fmt lint circles ## Check formatting, lints and circles of files, as CI does

# The coordinator without the worker linked in is built nowhere else.
lint-slim: ## Lint the coordinator without the worker
	cargo clippy --locked -p jhalak-coordinator --no-default-features -- -D warnings

circles:
	python3 scripts/check/circles.py --self-test
	python3 scripts/check/circles.py

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench-media: ## Measure scenes and keyframes against FFmpeg and PySceneDetect (VIDEOS="..." for others)
	cargo build --release --locked --workspace --bins --examples
	python3 scripts/bench/media.py --programs $(RELEASE) --venv $(CACHE)/venv-psd --setup $(VIDEOS)

# A Python that imports torch. Without one the comparison leaves PyTorch out and says so.
TORCH ?= $(CACHE)/venv-torch/bin/python
DATASET ?= ../shared/data/flickscore
MOVIES ?= $(DATASET)/hindi510_ids.txt
bench-train: ## Measure training speed against PyTorch (TORCH=PYTHON, DATASET=DIR, MOVIES=FILE)
	cargo build --release --locked --workspace --bins --examples
	python3 scripts/bench/train.py --programs $(RELEASE) --torch $(TORCH) --dataset $(DATASET) --movies $(MOVIES)

bench-inference: setup ## Measure the inference of each model against Python's onnxruntime
	cargo build --release --locked --workspace --bins --examples
	python3 scripts/bench/inference.py $(RELEASE)/examples/inference_bench --also worker/tests/golden/detector/yolox_nano.toml ../shared/models
	python3 scripts/bench/detection.py $(RELEASE) --venv $(CACHE)/venv-reference --yolox ../shared/models/yolox_nano.onnx

fuzz-media: ## Decode 10,000 damaged videos in the sandbox (MUTATIONS=FROM..TO for others)
	cargo test --locked --workspace --test media -- --ignored --nocapture ten_thousand_damaged_files

fuzz-messages: setup-test ## Send MESSAGES (10000) mutated messages, drawn from SEED (13), to live workers
	JHALAK_MUTATIONS=$(or $(MESSAGES),10000) JHALAK_MUTATION_SEED=$(or $(SEED),13) scripts/test.sh --test faults mutated -- --nocapture

clean-local: ## Remove .local (models, demo dataset, store, logs); downloads stay in the cache
	rm -rf .local
