# Two commands for a fresh machine with Go and Node:
#   make run    builds and starts the server
#   make test   installs what the tests need and runs everything that CI runs
# `make help` lists the others.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

GO ?= go
export GOFLAGS ?= -buildvcs=false
# GNU make would hand its jobs on to npm and go, which bring their own.
MAKEFLAGS += --no-print-directory

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
REVISION := $(shell git rev-parse --short HEAD 2>/dev/null || echo unknown)
LDFLAGS := -s -w -X main.version=$(VERSION) -X main.revision=$(REVISION)

BIN := bin
# Programs that we compare with and test against: minutes to build, so they are
# kept outside of the tree.
PEERS ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/nilometer/peers
VICTORIA_METRICS := v1.150.0

FUZZTIME ?= 3s

.PHONY: help run build light web test check unit discovery race fuzz cross e2e browser peers promtool tools crash model-long kill bomb fuzz-long promql-long bench load agree clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

run: light ## build and start the server (arguments: make run ARGS="--web.listen-address=127.0.0.1:9191")
	@exec $(BIN)/nilometer $(ARGS)

light: web ## build the server without the cloud discoveries
	@echo "building bin/nilometer (the first build compiles the libraries: up to 4 minutes on 2 cores)"
	@CGO_ENABLED=0 $(GO) build -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/nilometer ./cmd/nilometer

build: web ## build the released server, with every discovery
	@echo "building bin/nilometer with every service discovery"
	@CGO_ENABLED=0 $(GO) build -tags all_sd -trimpath -ldflags "$(LDFLAGS)" -o $(BIN)/nilometer ./cmd/nilometer

# The web's dist is remade when a source is newer than it.
WEB_SOURCES := $(shell find web/ui -type f -not -path '*/node_modules/*' 2>/dev/null)

web: web/dist/index.html ## build the web assets into web/dist

web/ui/node_modules/.installed: web/ui/package.json web/ui/package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: install Node.js 20 or newer (Debian: apt-get install nodejs npm)"; exit 1; }
	@echo "installing the web's packages"
	@cd web/ui && npm ci --no-audit --no-fund --loglevel=error
	@touch $@

web/dist/index.html: web/ui/node_modules/.installed $(WEB_SOURCES)
	@echo "building the web"
	@cd web/ui && npm run --silent build
	@touch $@

# The full build differs in upstream's discoveries alone, which take as long to
# compile as all the rest: whoever changes discovery runs make discovery build e2e.
test: tools check unit race fuzz cross light e2e browser ## everything that CI runs

tools: ## install what the tests need
	@scripts/install-test-tools

check: ## formatting, vet, staticcheck, the architecture
	@echo "== check"
	@unformatted=$$(gofmt -l $$(git ls-files '*.go')); if [ -n "$$unformatted" ]; then echo "not formatted (gofmt -w):" $$unformatted; exit 1; fi
	@$(GO) vet ./...
	@$(GO) vet -tags e2e ./test/...
	@$(GO) tool -modfile=tools/go.mod staticcheck ./...
	@$(GO) test -count=1 .

unit: web ## unit tests of Go and web
	@echo "== unit"
	@cd web/ui && npm run --silent check && npm test --silent
	@$(GO) test ./...

discovery: ## long: discoveries of the full build against servers like Kubernetes' and EC2's
	@$(GO) vet -tags all_sd ./discovery/... ./config/...
	@$(GO) test -count=1 -tags all_sd ./discovery/... ./config/...

race: ## reads and writes under the race detector
	@echo "== race"
	@CGO_ENABLED=1 $(GO) test -race -short ./model/... ./format/... ./vfs/... ./blob/... ./metadb/... ./storage/... ./tsdb/... ./promql/... \
		./scrape/... ./discovery/... ./hostmetrics/... ./limits/... ./ingest/... ./rules/... ./alerting/... ./api/... ./server/... ./cli/...

fuzz: ## every fuzz target for FUZZTIME (3s)
	@echo "== fuzz"
	@scripts/fuzz $(FUZZTIME)

cross: ## it compiles for the other systems
	@echo "== cross"
	@CGO_ENABLED=0 GOOS=darwin GOARCH=arm64 $(GO) build -o /dev/null ./cmd/nilometer
	@CGO_ENABLED=0 GOOS=windows GOARCH=amd64 $(GO) build -o /dev/null ./cmd/nilometer

promtool: $(PEERS)/promtool ## build promtool, a client of the tests

$(PEERS)/promtool: bench/peers/go.mod
	@echo "building promtool (once: minutes)"
	@mkdir -p $(PEERS)
	@cd bench/peers && CGO_ENABLED=0 $(GO) build -tags remove_all_sd -o $@ github.com/prometheus/prometheus/cmd/promtool

e2e: promtool ## black-box tests of the real binary
	@echo "== e2e"
	@NILOMETER_BIN=$(CURDIR)/$(BIN)/nilometer PROMTOOL_BIN=$(PEERS)/promtool $(GO) test -count=1 -tags e2e -timeout 15m ./test/...

browser: ## the page in headless Chromium
	@echo "== browser"
	@scripts/browser-test $(BIN)/nilometer

peers: $(PEERS)/promtool ## build Prometheus, promtool, amtool and VictoriaMetrics for bench/
	@mkdir -p $(PEERS)
	@cd bench/peers && CGO_ENABLED=0 $(GO) build -tags remove_all_sd -o $(PEERS)/ \
		github.com/prometheus/prometheus/cmd/prometheus github.com/prometheus/alertmanager/cmd/amtool
	@test -x $(PEERS)/victoria-metrics || GOBIN=$(PEERS) CGO_ENABLED=0 $(GO) install \
		github.com/VictoriaMetrics/VictoriaMetrics/app/victoria-metrics@$(VICTORIA_METRICS)
	@ls -l $(PEERS)

crash: ## long: stop the file system at every operation of the database
	@NILOMETER_CRASH_STOPS=all $(GO) test -count=1 -timeout 120m ./tsdb/... -run Crash

model-long: ## long: 10 million random operations on failing disks against a model
	@NILOMETER_MODEL_OPERATIONS=$${NILOMETER_MODEL_OPERATIONS:-10000000} $(GO) test -count=1 -timeout 240m -v ./tsdb -run 'TestModel$$'

kill: build ## long: kill -9 of the server under load, 100 times
	@NILOMETER_KILLS=$${NILOMETER_KILLS:-100} NILOMETER_BIN=$(CURDIR)/$(BIN)/nilometer PROMTOOL_BIN=$(PEERS)/promtool \
		$(GO) test -count=1 -tags e2e -timeout 60m -v ./test -run TestKillUnderLoad

bomb: light ## long: a target adds 1 M values of a label within a minute, under every policy, with 512 MiB and 1 GiB
	@NILOMETER_BOMB_VALUES=$${NILOMETER_BOMB_VALUES:-1000000} NILOMETER_BIN=$(CURDIR)/$(BIN)/nilometer PROMTOOL_BIN=$(PEERS)/promtool \
		$(GO) test -count=1 -tags e2e -timeout 60m -v ./test -run TestCardinalityBomb

promql-long: ## long: 200,000 random expressions over floats and as many over histograms, against the reference engine
	@NILOMETER_PROMQL_EXPRESSIONS=200000 $(GO) test -count=1 -timeout 120m ./promql -run TestRandom

fuzz-long: ## long: every fuzz target for 5 minutes
	@scripts/fuzz 5m

bench: build peers ## measure against the peers; writes bench/RESULTS.md
	@PEERS=$(PEERS) $(GO) run ./bench/run -nilometer $(BIN)/nilometer

load: build ## long: scrape 10,000 targets of 1,000 series every 15 s for 30 minutes, a twentieth of which never answer
	@$(GO) run ./bench/run -scenarios load -only nilometer -targets 10000 -series 1000 -interval 15s -duration 30m -hanging 0.05 \
		-nilometer $(BIN)/nilometer -peers $(PEERS)

agree: build peers ## scrape the same targets with Prometheus and compare what both store
	@$(GO) run ./bench/agree -nilometer $(BIN)/nilometer -prometheus $(PEERS)/prometheus

clean: ## remove what the build made
	@rm -rf $(BIN) web/ui/node_modules
	@find web/dist -mindepth 1 -not -name .gitkeep -delete
