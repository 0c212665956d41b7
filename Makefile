# Jhalak. `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := help

# Build products outlive a checkout where there is room for them.
CACHE := $(or $(JHALAK_CACHE),$(or $(XDG_CACHE_HOME),$(HOME)/.cache)/jhalak)
export CARGO_TARGET_DIR ?= $(CACHE)/target
RELEASE := $(CARGO_TARGET_DIR)/release

.PHONY: help run test setup build bench-media bench-train bench-inference fuzz-media cluster cluster-down check fmt lint lint-slim circles clean-local

help: ## Lists the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 16

run: setup build ## Sets everything up and runs the whole chain on the demo dataset
	$(RELEASE)/jhalak run --dataset .local/demo/dataset --config demo/jhalak.toml

test: ## Sets up what the tests need and runs every test
	scripts/setup.sh test
	scripts/test.sh

setup: ## Installs and fetches what a run needs (says what and why)
	scripts/setup.sh run

build: ## Builds the programs
	cargo build --release --locked --workspace --bins

cluster: setup-test build ## Starts a private RabbitMQ, a private S3 server and two workers on loopback, and submits the demo
	scripts/cluster.sh up

cluster-down: ## Stops exactly what `make cluster` started
	scripts/cluster.sh down

soak: setup-test ## Random faults for SECONDS (600), drawn by SEED (printed; another one each time)
	JHALAK_SOAK_SECONDS=$(or $(SECONDS),600) JHALAK_SOAK_SEED=$(SEED) scripts/test.sh --test faults schedule -- --nocapture

bench-queue: setup-test ## Measures what distribution costs: rates, cluster against embedded, 100,000 trailers
	scripts/bench_queue.sh

.PHONY: setup-test soak bench-queue
setup-test:
	scripts/setup.sh test

check: fmt lint circles ## Checks formatting, lints and circles of files, as CI runs them

# The coordinator without the worker linked in is built nowhere else.
lint-slim:
	cargo clippy --locked -p jhalak-coordinator --no-default-features -- -D warnings

circles:
	python3 scripts/check/circles.py --self-test
	python3 scripts/check/circles.py

fmt:
	cargo fmt --all --check

lint:
	cargo clippy --locked --workspace --all-targets -- -D warnings

bench-media: ## CPU time of scenes and keyframes beside FFmpeg's bare decode and PySceneDetect (VIDEOS="..." for others)
	cargo build --release --locked --workspace --bins --examples
	python3 scripts/bench/media.py --programs $(RELEASE) --venv $(CACHE)/venv-psd --setup $(VIDEOS)

# A Python that imports torch; without one the comparison says so and leaves PyTorch out.
TORCH ?= $(CACHE)/venv-torch/bin/python
DATASET ?= ../shared/data/flickscore
MOVIES ?= $(DATASET)/hindi510_ids.txt
bench-train: ## Training speed beside PyTorch (TORCH=a Python with it), two trainings beside one, time of the genre grid (DATASET=, MOVIES=)
	cargo build --release --locked --workspace --bins --examples
	python3 scripts/bench/train.py --programs $(RELEASE) --torch $(TORCH) --dataset $(DATASET) --movies $(MOVIES)

bench-inference: setup ## CPU time of each model's inference beside Python's onnxruntime (BENCHMARKS.md, "Inference")
	cargo build --release --locked --workspace --bins --examples
	python3 scripts/bench/inference.py $(RELEASE)/examples/inference_bench --also worker/tests/golden/detector/yolox_nano.toml ../shared/models
	python3 scripts/bench/detection.py $(RELEASE) --venv $(CACHE)/venv-reference --yolox ../shared/models/yolox_nano.onnx

fuzz-media: ## Decodes 10,000 damaged videos in the contained decoder (MUTATIONS=FROM..TO for others)
	cargo test --locked --workspace --test media -- --ignored --nocapture ten_thousand_damaged_files

clean-local: ## Removes .local (models, demo dataset, store, logs); downloads stay in the cache
	rm -rf .local
