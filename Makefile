# Every target explains itself: run 'make' or 'make help'.
SHELL := /bin/bash
GO    ?= go
TOOL  := $(GO) tool -modfile=tools.mod
# The test bed needs these from Debian; they are installed when missing.
DEPS  := mmdebstrap tmux strace

.DEFAULT_GOAL := help
.PHONY: help build man install deps test short lint fmt bench peers fuzz audit-bits undo-fuzz cache-report resolver-report stress crash llama undo-table uml hardware-bench clean

help: ## show this list
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:[^#]*## /\t/' | expand -t 12

build: ## build bin/cortex, and bin/cortexd beside it, which has the engine; static
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -tags noengine -o bin/cortex ./cmd/cortex
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags "-s -w" -o bin/cortexd ./cmd/cortex

install: build ## install cortex and cortexd into /usr/local/bin (as root)
	install -m 0755 bin/cortex bin/cortexd /usr/local/bin/

man: ## write the manual pages into dist/man
	$(GO) run ./cmd/manpages dist/man

deps: ## install what the tests need from Debian (as root)
	@missing=(); for p in $(DEPS); do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; fi

test: deps ## run every test with the race detector, against real apt in an isolated root (as root)
	CORTEX_TESTBED=require $(GO) test -race -timeout 15m $(TESTFLAGS) ./...

short: ## run the tests that need neither root nor a test bed
	$(GO) test -short ./...

lint: ## gofumpt, go vet, staticcheck
	@out=$$($(TOOL) gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi
	$(GO) vet ./... && $(GO) vet -tags peers ./cmd/cortex ./cmd/stress && $(GO) -C cmd/stress/watermill vet ./...
	$(TOOL) staticcheck ./...

fmt: ## format every Go file
	$(TOOL) gofumpt -w $$(git ls-files '*.go')

bench: ## run every benchmark six times, readable by benchstat
	$(GO) test -run '^$$' -bench . -benchmem -count 6 ./...

peers: deps ## benchmarks beside others, COUNT times: JetStream, SQLite, Watermill's adapter, Python, apt, dnf5 (as root, minutes; undo beside others: 'make undo-table')
	@command -v python3 >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends python3; }
	$(GO) test -tags peers -run '^$$' -bench Publish -benchtime 1500x -count $${COUNT:-1} ./cmd/stress
	$(GO) -C cmd/stress/watermill test -run '^$$' -bench . -benchtime 1500x -count $${COUNT:-1} ./...
	$(GO) test -tags peers -run '^$$' -bench 'Lookup|Rebuild' -count $${COUNT:-1} -timeout 1h ./cmd/stress
	CORTEX_TESTBED=require $(GO) test -tags peers -run '^$$' -bench Start -count $${COUNT:-1} -timeout 1h ./cmd/cortex

fuzz: ## fuzz every parser for FUZZTIME each (default 30s)
	@for f in $$(grep -rlE '^func Fuzz' --include='*_test.go' .); do \
	  for n in $$(grep -oE '^func Fuzz[A-Za-z0-9_]+' $$f | cut -c6-); do \
	    echo "== $$n"; $(GO) test -run '^$$' -fuzz "^$$n$$" -fuzztime $${FUZZTIME:-30s} ./$$(dirname $$f) || exit 1; done; done

audit-bits: ## flip every single bit of a log of 200 events, and cut it at every byte of its end (an hour)
	CORTEX_AUDIT_BITS=all $(GO) test -count 1 -v -timeout 5h -run '^TestEvery(FlippedBit|Cut)' ./embedded/natslog

undo-fuzz: deps ## N random transactions (default 500) done and undone on real apt, from SEED (as root)
	CORTEX_TESTBED=require CORTEX_UNDO_CASES=$${N:-500} CORTEX_UNDO_SEED=$${SEED:-$$(date +%s)} $(GO) test -v -timeout 3h -run 'TestRandomTransactions|TestSeveralTransactions|TestACrash' ./cmd/cortex | grep -E '^( *--- FAIL|ok|FAIL|    undo of|.*_test.go:)|^ +[-+]'

undo-table: deps ## do 20 things and take them back, with Cortex and with others, as a table (as root, some minutes)
	@out=$$(CORTEX_TESTBED=require $(GO) test -tags peers -count 1 -v -timeout 1h -run '^TestPeers$$' ./cmd/cortex 2>&1) || { echo "$$out"; exit 1; }; echo "$$out" | grep -E '^(\||Measured)'

cache-report: ## show which paraphrases the cache's key finds, and that it takes no near miss for one
	$(GO) test -count 1 -v -run '^TestPairs$$' ./consumers/canon

resolver-report: ## measure how often words find an accepted package, on LISTS (default: this machine's lists)
	$(GO) test -count 1 -v -run '^TestReport$$' ./embedded/pkgindex -lists $${LISTS:-/var/lib/apt/lists}

stress: deps ## many at once, ten times as much as in the tests, with the race detector, and figures (as root)
	@set -o pipefail; CORTEX_STRESS=long CORTEX_TESTBED=require $(GO) test -race -count 1 -timeout 30m -v -run '^Test(AHundred|TheReadModels|AThousand|Readers|ManyCommands|Twenty|Questions)' ./cmd/stress ./cmd/render ./cmd/cortex ./producers/hardware ./consumers/analyst | grep -E '^(---|ok|FAIL|panic)|_test.go:|DATA RACE'

crash: deps ## every fault of docs/faults.md in its long form; N crashes at random instants (default 60), from SEED (as root)
	@names=$$(grep -oE 'Test[A-Za-z0-9]+' docs/faults.md | sort -u | paste -sd '|'); log=$$(mktemp); set -o pipefail; \
	CORTEX_CRASH=long CORTEX_TESTBED=require CORTEX_UNDO_CASES=$${N:-60} CORTEX_UNDO_SEED=$${SEED:-$$(date +%s)} $(GO) test -count 1 -timeout 1h -v -run "^($$names)\$$" ./cmd/... ./consumers/... ./embedded/... ./projections/... 2>&1 | tee $$log | grep -E '^( *--- |ok|FAIL|panic)|_test.go:' | grep -v 'no tests to run' \
	&& rm $$log || { echo "all that was said is in $$log"; exit 1; }

llama: ## run the clients and the slot store against a real llama-server, fetched from Debian's unstable suite
	LLAMA_SERVER="$$(bash embedded/slotcache/llamatest/fetch.sh $${XDG_CACHE_HOME:-$$HOME/.cache}/cortex-llama)" $(GO) test -count 1 -v -tags llamacpp -run '^TestRealLlamaServer$$' ./consumers/llm/modeltest ./embedded/slotcache

# The Debian package is a function of the commit: its version, its time, its inputs.
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

deb-check: ## build the package twice and compare, then lintian and systemd's own checks (as root)
	@for p in lintian systemd; do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$p; }; done
	$(MAKE) deb && cp $(DEB) dist/first.deb
	find cmd packaging -type f -exec touch {} + && $(MAKE) deb
	sha256sum dist/first.deb $(DEB) && cmp dist/first.deb $(DEB)
	@set -o pipefail; systemd-analyze security --offline=true --threshold=20 --no-pager packaging/systemd/cortexd.service | tail -n 1
	lintian --fail-on error,warning --tag-display-limit 0 $(DEB)

deb-test: deb deps ## install, upgrade, remove and purge the package with real apt, where no systemd runs (as root)
	CORTEX_TESTBED=require CORTEX_DEB=$(abspath $(DEB)) $(GO) test -count 1 -timeout 10m -run '^TestThePackage' ./cmd/cortex

# The package of an earlier commit is built from an archive of it, so that the tree stays.
OLD ?= b5312a1
deb-upgrade: deb deps ## upgrade the package of OLD (a commit; default: before the packages were moved) while transactions run (as root)
	rm -rf dist/old && mkdir -p dist/old && git archive $(OLD) | tar -x -C dist/old
	$(MAKE) -C dist/old deb DEB_VERSION=0.0.1 SOURCE_DATE_EPOCH=$(DEB_EPOCH)
	CORTEX_TESTBED=require CORTEX_OLD_DEB=$(abspath dist/old/dist/cortex_0.0.1-1_$(DEB_ARCH).deb) CORTEX_DEB=$(abspath $(DEB)) $(GO) test -count 1 -timeout 10m -v -run '^Test(PackageUpgradeWhile|CommandAndDaemonOf)' ./cmd/cortex

deb-uml: deb ## the same where real systemd runs, under User-Mode Linux (as root; minutes)
	@for p in user-mode-linux mmdebstrap; do dpkg-query -W -f '$${db:Status-Status}' $$p 2>/dev/null | grep -qx installed || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends $$p; }; done
	packaging/uml/run.sh $(DEB)

uml: ## try limits in machines of their own: one with cgroup v2, one that systemd started (as root, a minute)
	@command -v linux.uml >/dev/null || { apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends user-mode-linux; }
	$(MAKE) --no-print-directory deps
	$(GO) test -tags uml -count 1 -v -run '^TestUnderUserModeLinux$$' ./consumers/machine/limits

hardware-bench: build ## time a look at the hardware beside ghw, and 'cortex hardware' beside lshw and inxi (as root)
	@missing=(); for p in hyperfine lshw inxi; do command -v $$p >/dev/null || missing+=($$p); done; \
	if [ $${#missing[@]} -gt 0 ]; then apt-get update -q && DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends "$${missing[@]}"; fi
	@$(GO) test -tags ghw -run '^$$' -bench 'Snapshot|GHW' -benchmem -count 6 ./producers/hardware 2>&1 | awk '{sub(/WARN:.*/, "")} !NF {next} /^Benchmark/ && !/ns.op/ {printf "%s", $$0; next} {print}'; exit $${PIPESTATUS[0]}
	@fast=(); ! command -v fastfetch >/dev/null || fast=(fastfetch); \
	hyperfine -N -i -w 2 'bin/cortex hardware --json' 'lshw -json' 'inxi -Fxxx -c0' "$${fast[@]}"

clean: ## remove what building made
	rm -rf bin dist
