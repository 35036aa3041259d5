# 'make' lists the targets.
SHELL := /bin/bash
GO    ?= go
TOOL  := $(GO) tool -modfile=tools.mod
# Packages that the test bed needs; missing ones are installed.
DEPS  := mmdebstrap tmux strace zsh fish

.DEFAULT_GOAL := help
.PHONY: help build man install deps test short lint arm64 fmt bench peers fuzz audit-bits undo-fuzz cache-report resolver-report stress crash llama undo-table uml hardware-bench clean

help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 18

build: ## build the static programs bin/cortex and bin/cortexd (with the engine)
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -tags noengine -o bin/cortex ./cmd/cortex
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/cortexd ./cmd/cortex

install: build ## install cortex and cortexd into /usr/local/bin (as root)
	install -m 0755 bin/cortex bin/cortexd /usr/local/bin/

man: ## write the manual pages into dist/man
	$(GO) run ./cmd/manpages dist/man

deps: ## install the packages that the tests need (as root)
	@missing=(); for p in $(DEPS); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; fi

test: deps ## run every test with the race detector, against real apt in an isolated root (as root)
	CORTEX_TESTBED=require $(GO) test -race -timeout 15m $(TESTFLAGS) ./...

short: ## run the tests that need no root and no test bed
	$(GO) test -short ./...

lint: ## format, vet with every build tag, staticcheck, dead code
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi
	$(GO) vet ./... && $(GO) vet -tags peers,uml,llamacpp,ghw ./... && $(GO) vet -tags noengine ./cmd/cortex && $(GO) -C cmd/stress/watermill vet ./...
	$(TOOL) staticcheck ./...
	.ci/deadcode

arm64: ## vet everything and build both programs for arm64
	GOARCH=arm64 $(GO) vet ./...
	GOARCH=arm64 CGO_ENABLED=0 $(GO) build -trimpath -tags noengine -o /dev/null ./cmd/cortex
	GOARCH=arm64 CGO_ENABLED=0 $(GO) build -trimpath -o /dev/null ./cmd/cortex

fmt: ## format every Go file
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

bench: ## run every benchmark six times, for benchstat
	$(GO) test -run '^$$' -bench . -benchmem -count 6 ./...

peers: deps ## compare with JetStream, SQLite, Watermill's adapter, Python, apt and dnf5, COUNT times (as root, minutes)
	@command -v python3 >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3; }
	$(GO) test -tags peers -run '^$$' -bench Publish -benchtime 1500x -count $${COUNT:-1} ./cmd/stress
	$(GO) -C cmd/stress/watermill test -run '^$$' -bench . -benchtime 1500x -count $${COUNT:-1} ./...
	$(GO) test -tags peers -run '^$$' -bench 'Lookup|Rebuild' -count $${COUNT:-1} -timeout 1h ./cmd/stress
	CORTEX_TESTBED=require $(GO) test -tags peers -run '^$$' -bench Start -count $${COUNT:-1} -timeout 1h ./cmd/cortex

fuzz: ## fuzz every parser for FUZZTIME each (default 30s)
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for n in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do \
	    echo "== $$n"; $(GO) test -run '^$$' -fuzz "^$$n$$" -fuzztime $${FUZZTIME:-30s} ./$$(dirname $$f) || exit 1; done; done

audit-bits: ## flip each bit of a log of 200 events, and cut it at each byte of its end (an hour)
	CORTEX_AUDIT_BITS=all $(GO) test -count 1 -v -timeout 5h -run '^TestEvery(FlippedBit|Cut)' ./embedded/natslog

undo-fuzz: deps ## do and undo N random transactions (default 500) with real apt, from SEED (as root)
	CORTEX_TESTBED=require CORTEX_UNDO_CASES=$${N:-500} CORTEX_UNDO_SEED=$${SEED:-$$(date +%s)} $(GO) test -v -timeout 3h -run 'TestRandomTransactions|TestSeveralTransactions|TestCrashAtRandomInstant' ./cmd/cortex | grep -E '^( *--- FAIL|ok|FAIL|    undo of|.*_test.go:)|^ +[-+]'

undo-table: deps ## do and undo 20 changes with Cortex, apt, nala and dnf5, and print the table (as root, minutes)
	@out=$$(CORTEX_TESTBED=require $(GO) test -tags peers -count 1 -v -timeout 1h -run '^TestPeers$$' ./cmd/cortex 2>&1) || { echo "$$out"; exit 1; }; echo "$$out" | grep -E '^(\||Measured)'

cache-report: ## print which paraphrases the cache key finds, and check that it matches no near miss
	$(GO) test -count 1 -v -run '^TestPairs$$' ./consumers/llm/cachekey

resolver-report: ## measure how often a search finds an accepted package, in LISTS (default: this machine's)
	$(GO) test -count 1 -v -run '^TestReport$$' ./embedded/pkgindex -lists $${LISTS:-/var/lib/apt/lists}

stress: deps ## run the concurrency tests with ten times the load and the race detector (as root)
	@set -o pipefail; CORTEX_STRESS=long CORTEX_TESTBED=require $(GO) test -race -count 1 -timeout 30m -v -run '^Test(HundredPublishers|ReadModelsKeepUp|ThousandClients|AnswerCacheConcurrent|DaemonKilledRepeatedly|Concurrent)' ./cmd/stress ./cmd/cortex ./producers/hardware ./consumers/llm/ask | grep -E '^(---|ok|FAIL|panic)|_test.go:|DATA RACE'

crash: deps ## run every test in docs/faults.md in its long form, with N random crashes (default 60) from SEED (as root)
	@names=$$(grep -oE 'Test[A-Za-z0-9]+' docs/faults.md | sort -u | paste -sd '|'); log=$$(mktemp); set -o pipefail; \
	CORTEX_CRASH=long CORTEX_TESTBED=require CORTEX_UNDO_CASES=$${N:-60} CORTEX_UNDO_SEED=$${SEED:-$$(date +%s)} $(GO) test -count 1 -timeout 1h -v -run "^($$names)\$$" ./cmd/... ./consumers/... ./embedded/... ./projections/... 2>&1 | tee $$log | grep -E '^( *--- |ok|FAIL|panic)|_test.go:' | grep -v 'no tests to run' \
	&& rm $$log || { echo "the whole output is in $$log"; exit 1; }

llama: ## test the clients and the slot cache with a real llama-server from Debian unstable
	LLAMA_SERVER="$$(bash embedded/slotcache/llamatest/fetch.sh $${XDG_CACHE_HOME:-$$HOME/.cache}/cortex-llama)" $(GO) test -count 1 -v -tags llamacpp -run '^TestRealLlamaServer$$' ./consumers/llm/modeltest ./embedded/slotcache

# The same commit builds the same package: version and time come from the commit.
DEB_VERSION    ?= 0.1.0
DEB_ARCH       ?= amd64
DEB_MAINTAINER ?= Cortex <cortex@localhost.localdomain>
DEB_EPOCH       = $(or $(SOURCE_DATE_EPOCH),$(shell git log -1 --format=%ct))
DEB_BUILD       = CGO_ENABLED=0 GOOS=linux GOARCH=$(DEB_ARCH) $(GO) build -trimpath -buildvcs=false -ldflags "-s -w -buildid= -X cortex/cmd/cli.version=$(DEB_VERSION)"
DEB             = dist/cortex_$(DEB_VERSION)-1_$(DEB_ARCH).deb

.PHONY: deb deb-check deb-test deb-upgrade deb-uml

deb: ## build the Debian package into dist
	rm -rf dist/deb && mkdir -p dist/deb
	$(DEB_BUILD) -tags noengine -o dist/deb/cortex ./cmd/cortex
	$(DEB_BUILD) -o dist/deb/cortexd ./cmd/cortex
	$(GO) run ./cmd/debtree -version $(DEB_VERSION)-1 -maintainer '$(DEB_MAINTAINER)' -time $(DEB_EPOCH) dist/deb/tree
	DEB_VERSION=$(DEB_VERSION) DEB_ARCH=$(DEB_ARCH) DEB_MAINTAINER='$(DEB_MAINTAINER)' SOURCE_DATE_EPOCH=$(DEB_EPOCH) \
	  $(GO) tool -modfile=packaging/nfpm.mod nfpm package -p deb -f packaging/nfpm.yaml -t $(DEB)

deb-check: ## build the package twice and compare; run lintian and systemd-analyze (as root)
	@for p in lintian systemd; do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$p; }; done
	$(MAKE) deb && cp $(DEB) dist/first.deb
	find cmd packaging -type f -exec touch {} + && $(MAKE) deb
	sha256sum dist/first.deb $(DEB) && cmp dist/first.deb $(DEB)
	@set -o pipefail; systemd-analyze security --offline=true --threshold=20 --no-pager packaging/systemd/cortexd.service | tail -n 1
	lintian --fail-on error,warning --tag-display-limit 0 $(DEB)

deb-test: deb deps ## install, upgrade, remove and purge the package with real apt, without systemd (as root)
	CORTEX_TESTBED=require CORTEX_DEB=$(abspath $(DEB)) $(GO) test -count 1 -timeout 10m -run '^TestPackageInstall' ./cmd/cortex

# The default of OLD is the commit before the packages were moved. Its package is built from
# an archive, so the working tree does not change.
OLD ?= b5312a1
deb-upgrade: deb deps ## upgrade the package of the commit OLD while transactions run (as root)
	rm -rf dist/old && mkdir -p dist/old && git archive $(OLD) | tar -x -C dist/old
	$(MAKE) -C dist/old deb DEB_VERSION=0.0.1 SOURCE_DATE_EPOCH=$(DEB_EPOCH)
	CORTEX_TESTBED=require CORTEX_OLD_DEB=$(abspath dist/old/dist/cortex_0.0.1-1_$(DEB_ARCH).deb) CORTEX_DEB=$(abspath $(DEB)) $(GO) test -count 1 -timeout 10m -v -run '^Test(PackageUpgradeWhile|CommandAndDaemonOf)' ./cmd/cortex

deb-uml: deb ## test the package under User-Mode Linux with real systemd (as root, minutes)
	@for p in user-mode-linux mmdebstrap; do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$p; }; done
	packaging/uml/run.sh $(DEB)

uml: ## test limits under User-Mode Linux, with cgroup v2 and with systemd (as root, a minute)
	@command -v linux.uml >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends user-mode-linux; }
	$(MAKE) --no-print-directory deps
	$(GO) test -tags uml -count 1 -v -run '^TestUnderUserModeLinux$$' ./consumers/machine/limits

hardware-bench: build ## compare hardware detection with ghw, lshw and inxi (as root)
	@missing=(); for p in hyperfine lshw inxi; do command -v $$p >/dev/null || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; fi
	@$(GO) test -tags ghw -run '^$$' -bench 'Snapshot|GHW' -benchmem -count 6 ./producers/hardware 2>&1 | awk '{sub(/WARN:.*/, "")} !NF {next} /^Benchmark/ && !/ns.op/ {printf "%s", $$0; next} {print}'; exit $${PIPESTATUS[0]}
	@fast=(); ! command -v fastfetch >/dev/null || fast=(fastfetch); \
	hyperfine -N -i -w 2 'bin/cortex hardware --json' 'lshw -json' 'inxi -Fxxx -c0' "$${fast[@]}"

clean: ## remove build output
	rm -rf bin dist
