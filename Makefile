# Every target that a person types has a "## text"; `make help` prints them.
SHELL := /bin/bash
TOOL  := go tool -modfile=.ci/tools/go.mod
TAGS  := invariants
T     ?= 60s
KILLS ?= 200
FAULTS ?= 300

export CGO_ENABLED ?= 0

.PHONY: hostile presence audit help run build cluster test prepare check race fuzz bench bench-crdt web conformance differential crash chaos failovers faults stores

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' Makefile

run: build ## build and serve on http://127.0.0.1:8787, data in ./data
	@bin/ysync serve

build: ## build bin/ysync, a static binary
	@go build -trimpath -o bin/ysync ./cmd/ysync

cluster: build ## three nodes with PostgreSQL, Redis and an S3-compatible server, on loopback until Ctrl-C
	@.ci/prepare && go build -o bin/devcluster ./internal/devcluster && exec bin/devcluster

test: prepare ## everything: units, vectors, real clients, browsers, crashes, faults (installs what it needs)
	@go test -timeout 20m -tags $(TAGS) ./...
	@cd deploy && go test ./...
	@go test -tags "$(TAGS) faults" -run FindsPlantedBugs ./internal/crashtest ./internal/simtest ./persistence/memory ./persistence/pebble

prepare:
	@.ci/prepare

check: ## formatting, vet, staticcheck, the tests of the repository about itself
	@out=$$($(TOOL) gofumpt -l .); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	@go vet -tags $(TAGS) ./...
	@$(TOOL) staticcheck -tags $(TAGS) ./...
	@go test -count=1 .

audit: ## gosec and govulncheck (GOVULNDB=file:///folder where its data is at hand)
	@.ci/audit

race: ## the unit tests under the race detector (needs a C compiler)
	@CGO_ENABLED=1 go test -race -tags $(TAGS) $$(go list ./... | grep -v -e /e2e -e /crashtest -e /bench)

fuzz: ## every fuzz target for T each (T=60s)
	@.ci/fuzz $(T)

conformance: ## the vectors made by real Yjs, counted by family
	@go test -count=1 -v -run Conformance ./internal/lib0 ./crdt ./syncproto ./awareness ./internal/gateway | grep -v -e '^=== ' -e '^    --- PASS' -e '^--- PASS'

differential: ## random histories here and in a real Yjs, from a random seed, for T each (T=60s, ONLY=TestDifferential)
	@.ci/prepare && go test -count=1 -timeout 0 -v -run "$(ONLY)" ./crdt/differential -for $(T) -from 0

web: ## rebuild the start page's bundle (needs Node)
	@cd examples/editor && npm ci --no-audit --no-fund --loglevel=error && npm run --silent build

bench: ## the server against @y/websocket-server and a bare echo, in one run (RUNS=3, JOBS=a,b)
	@.ci/prepare && go build -o bin/bench ./internal/bench && bin/bench -runs $(or $(RUNS),3) -only "$(JOBS)" -out "$(OUT)"

hostile: ## 500 hostile clients beside 500 honest ones for T (T=10m), the server on one core
	@.ci/prepare && go build -o bin/bench ./internal/bench && bin/bench -only hostile -for $(T) -out "$(OUT)"

presence: ## 500 clients of one document that send back what they see, 10 of them real, and who is gone
	@.ci/prepare && go build -o bin/bench ./internal/bench && bin/bench -only presence -out "$(OUT)"
	@go test -count=1 -run JoinAndLeave -v ./internal/hub -cycles 1000000 | grep -v '^=== '

bench-crdt: ## the engine against yjs, ywasm and loro-crdt, row by row in one run (RUNS=3, ROWS=B1,S)
	@.ci/prepare && go build -trimpath -o bin/benchcrdt ./internal/benchcrdt && bin/benchcrdt -runs $(or $(RUNS),3) -rows "$(ROWS)" -out "$(OUT)"

crash: ## kill -9 the server KILLS times under load (KILLS=200), then prove the audit with planted bugs
	@CRASH_KILLS=$(KILLS) go test -count=1 -timeout 0 -tags crash -v -run 'TestManyKills|TestPlantedBugs' ./internal/crashtest | grep -v '^=== '

chaos: prepare ## FAULTS faults (FAULTS=300) in a cluster on machines of its own, under 100 writers, and a rolling upgrade; as root
	@CHAOS_FAULTS=$(FAULTS) go test -count=1 -timeout 0 -tags crash -v -run 'TestManyFaults|TestRollingRestart' ./internal/crashtest | grep -v '^=== '

failovers: prepare ## lose a node TIMES times (TIMES=56) in four ways under writers, then one with 2,000 documents; as root
	@CHAOS_FAILOVERS=$(or $(TIMES),56) go test -count=1 -timeout 0 -tags crash -v -run 'TestFailovers|TestManyDocumentsOfADeadNode' ./internal/crashtest | grep -v '^=== '

stores: ## the stores of other servers, made anew by their own packages, one of which is compiled, and imported
	@cd internal/migrate && npm ci --no-audit --no-fund --loglevel=error >/dev/null
	@go test -count=1 -tags native -run 'Fresh|Stores' -v ./internal/migrate | grep -v '^=== '

sim: ## clusters under virtual time, 20 faults for each of SEEDS seeds from FROM on (SEEDS=1000, FROM=1000, PROGRESS=file)
	@go test -count=1 -timeout 0 -v -run 'TestSimulation$$' ./internal/simtest -seeds $(or $(SEEDS),1000) -from $(or $(FROM),1000) -progress "$(PROGRESS)" | grep -v '^=== '

faults: ## power losses, failing disks and paused owners, with planted bugs that have to be caught
	@go test -count=1 -tags faults ./internal/crashtest ./persistence/... ./snapshots/... -run 'Power|Fault|Paused'
