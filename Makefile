# Two of these are all that a newcomer needs: `make run` and `make test`. Both install what is missing where they may,
# and say what to install where they may not. `make help` lists the rest.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# The same flags everywhere, so that what one target compiled another need not compile again.
# C is there for one thing, NVIDIA's library, which is opened at run time: names and users are looked up by Go.
export GOFLAGS := $(strip $(GOFLAGS) -trimpath -tags=netgo,osusergo)
export CGO_ENABLED ?= 1
export CGO_CFLAGS ?= -O1 -g0 -Wno-deprecated-declarations
export PALISADE_CACHE ?= $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/palisade

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.linked=$(VERSION)

# Rooms where goroutines share state: their tests run under the race detector, which needs cgo.
RACE := ./accel/... ./catalog/... ./router/... ./sessions/... ./autoscaler/... ./appliance/store/...

.PHONY: help build session-init images run test race vet lint bench rehearse bench-go fuzz e2e faults fleet soak fresh screenshots engine test-tools clean

help: ## this list
	@sed -n 's/^\([a-z0-9-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

build: session-init ## bin/palisade; CGO_ENABLED=0 makes it static, without NVIDIA's library
	@.ci/deps build
	go build -ldflags '$(LDFLAGS)' -o bin/palisade ./appliance/cmd/palisade
	@echo "bin/palisade $(VERSION)"

session-init: ## what runs beside sessions, for bin/palisade to carry
	@CGO_ENABLED=0 go build -ldflags '-s -w' -o firmware-images/session-init/build/ ./sessions/pid1/palisade-init ./sessions/process/palisade-supervise

run: ## first light: an appliance with a model that answers, until Ctrl-C
	@examples/first-light/run.sh $(ARGS)

images: ## the images of sessions in the cache, as OCI archives for `palisade image import`; ARGS="base", "-list", "-force"
	@.ci/deps images
	@go run ./firmware-images/sessions/build $(ARGS)

engine: ## llama-server in the cache, built once
	@.ci/deps engine
	@firmware-images/engines/llama-cpp/build.sh

test-tools: session-init
	@.ci/deps build engine images test
	@firmware-images/engines/llama-cpp/build.sh >/dev/null
	@.ci/openai-client >/dev/null
	@.ci/go-client
	@.ci/anthropic-client/build >/dev/null
	@.ci/axe >/dev/null
	@.ci/containerd/build >/dev/null
	@.ci/dex/build >/dev/null
	@.ci/s3/build >/dev/null
	@.ci/oras/build >/dev/null
	@go run ./firmware-images/sessions/build >/dev/null

test: test-tools vet ## all tests, with the real engine, PostgreSQL and OpenAI's own clients
	go test -count=1 -timeout 40m ./... ./.ci/figures

race: ## the rooms with goroutines under the race detector
	@.ci/deps build engine test
	@.ci/containerd/build >/dev/null
	@.ci/dex/build >/dev/null
	CGO_ENABLED=1 go test -race -timeout 10m $(RACE)

vet:
	go vet ./...

e2e: test-tools ## only the tests of the whole appliance, with what they say
	go test -count=1 -timeout 20m -v ./appliance/e2e/...

faults: test-tools ## docs/faults.md anew: what comes of boxes that are killed, frozen or cut off
	go test -count=1 -timeout 20m -v ./appliance/e2e -run 'TestFaults$$' -args -faults $(CURDIR)/docs/faults.md

soak: test-tools ## faults by dice under load for SOAK (30m), and what came of them: docs/soak.md anew
	go test -count=1 -timeout 0 -v ./appliance/e2e -run 'TestSoak$$' -args -soak $(or $(SOAK),30m) -soak-report $(CURDIR)/docs/soak.md

fresh: ## make run and make test on a new minimal Debian, as root and as a user who may install nothing; ARGS=run: only the first
	@.ci/fresh/run $(ARGS)

fleet: test-tools ## a simulated fleet of NODES (1000) with ten sessions each under one leader: what it takes, and how soon a dead rack is replaced
	go test -run '^$$' -bench Fleet -benchtime 1x -timeout 60m -v ./appliance/cluster/simulation -args -nodes $(or $(NODES),1000)

screenshots: test-tools ## docs/screenshots anew, from the console in a real browser
	@rm -rf docs/screenshots
	go test -count=1 -timeout 20m ./appliance/e2e -run 'TestConsole$$' -args -screenshots $(CURDIR)/docs/screenshots

lint: ## gofmt, go vet, golangci-lint (pinned in .ci/lint/go.mod), shellcheck
	@.ci/deps build lint
	@.ci/lint/run

bench: build ## all that has an aim on one page, what is short first, INTO=docs/performance.md; ARGS="throughput -rounds 3": the data plane beside others, see router/bench/README.md
	@.ci/deps bench
	@.ci/caddy/build >/dev/null
	CGO_ENABLED=0 go build -ldflags '-s -w' -o bin/bench/ ./router/bench ./router/bench/gate ./router/bench/plain
	@if [ -n "$(ARGS)" ]; then exec bin/bench/bench $(ARGS); fi; $(MAKE) --no-print-directory test-tools && exec go run ./.ci/figures -into "$(INTO)" -only "$(ONLY)"

rehearse: ## autoscaling rehearsed beside Kubernetes' and Knative's formulas: the table of docs/autoscaling.md
	@go test -count=1 -timeout 10m -run TestComparison -v ./autoscaler/rehearse | sed -n 's/^ *|/|/p; /FAIL/p'

bench-go: test-tools ## all benchmarks of the packages, and the appliance's own figures
	go test -run '^$$' -bench . -benchmem -timeout 30m ./...

fuzz: ## every fuzz target for FUZZTIME (30s)
	@.ci/fuzz

clean: ## removes bin/; engine and linter stay in the cache
	rm -rf bin firmware-images/session-init/build/palisade-*
