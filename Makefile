# Verbs. Each does one thing, through one script or one go command.

.DEFAULT_GOAL := help

# Built as the plugin is, so that Go's cache has most of it.
RUNTESTS = CGO_ENABLED=0 go build -trimpath -o bin/ ./scripts/runtests && bin/runtests

.PHONY: help build vault test test-all test-long test-full test-days test-ha test-release test-bench test-judges test-browser soak fuzz cover bench demo dev example release lint fmt reference clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the plugin and the Facebook simulator into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

vault: ## find a Vault to test with, or build one into bin/, once, in 1 to 4 minutes
	@scripts/vault.sh

test: ## run what a change needs (5 min): packages, the plugin in a real Vault, JavaScript, fuzzers briefly
	@$(RUNTESTS) js vault go fuzz

test-all: ## run all tests (35 min)
	@$(RUNTESTS) js vault go fuzz browser full days ha release bench judges

test-long: ## run the tests that make test leaves out (25 min)
	@$(RUNTESTS) browser full days ha release bench judges

test-full: ## kill the engine at each storage operation, try each combination, under -race (7 min)
	@$(RUNTESTS) full

test-days: ## 200 days with 2,000 credentials and many faults, and the Go client in a storm of faults (2 min)
	@$(RUNTESTS) days

test-ha: ## three nodes under load and twenty faults: a table of their consequences (5 min)
	@$(RUNTESTS) ha

test-release: ## make releases, compare them, upgrade a running Vault from one to the other (1 min)
	@$(RUNTESTS) release

test-bench: ## the benchmarks' own tests (2 min)
	@$(RUNTESTS) bench

test-judges: ## third-party client libraries, for Facebook against the simulator, for Vault against the plugin (4 min)
	@$(RUNTESTS) judges

test-browser: ## run the example in a headless Chromium, with a real Vault (2 min; ARGS="-t stranger")
	@scripts/test-browser.sh $(ARGS)

soak: ## three nodes under load and random faults, for DURATION=30m, measuring memory, files and storage
	@scripts/test.sh -timeout 0 -v -run TestSoak ./ha -ha.soak=$(or $(DURATION),30m)

fuzz: ## fuzz every target, FUZZTIME=1m each
	@scripts/fuzz.sh

cover: ## measure the coverage of internal/, paths/ and backend/ by their tests (3 min)
	@scripts/cover.sh

bench: ## measure, and compare with a constant plugin and Vault's own KV: one table (ARGS="-only warm")
	@scripts/bench.sh $(ARGS)

demo: ## show the engine with the vault CLI, then stop everything
	@scripts/demo.sh

dev: ## run a dev Vault and a simulated Facebook until Ctrl-C
	@scripts/dev.sh

example: ## run the JavaScript example, with all that it needs, until Ctrl-C
	@scripts/example.sh

release: ## make the release VERSION=v1.2.3 (or the tag at HEAD) in dist/
	@scripts/release.sh $(VERSION)

lint: ## gofmt, go vet, staticcheck, govulncheck
	@scripts/lint.sh

fmt: ## format all Go files
	go fmt ./...

reference: ## update testdata/openapi.json, docs/facebook-errors.md, docs/reference.md (with the notes in paths/*.md) and the table of attacks
	go test -run "TestOpenAPIDocument|TestDocumentOfErrors|TestTableOfAttacks" ./backend ./paths -update
	go test -run TestReferenceIsUpToDate ./internal/reference -update

clean: ## remove all build products, Vault included
	rm -rf bin dist js/node_modules js/*/node_modules js/*/dist judges/js/node_modules
