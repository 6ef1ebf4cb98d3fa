# Verbs. Each does one thing, through one script or one go command.

.DEFAULT_GOAL := help
.PHONY: help build vault test test-ha test-browser soak fuzz longrun bench demo dev example release lint fmt reference clean

help: ## list the verbs
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

build: ## build the plugin and the Facebook simulator into bin/
	CGO_ENABLED=0 go build -trimpath -o bin/ ./cmd/...

vault: ## find a Vault to test with, or build one into bin/, once, in 1 to 4 minutes
	@scripts/vault.sh

test: ## run all tests: packages, and the built plugin in a real Vault
	@scripts/test.sh

test-ha: ## three nodes under load, and twenty faults: a table of what each did; minutes
	@scripts/test.sh -v -run TestManyNodes ./ha -ha.rounds=20

soak: ## three nodes under load and any faults, for DURATION=30m, watching what is used
	@scripts/test.sh -timeout 0 -v -run TestSoak ./ha -ha.soak=$(or $(DURATION),30m)

test-browser: ## run the example in a Chromium without a screen, with a real Vault (ARGS="-t stranger")
	@scripts/test-browser.sh $(ARGS)

fuzz: ## fuzz every target, FUZZTIME=1m each
	@scripts/fuzz.sh

longrun: ## 200 days over 2,000 credentials with all troubles at once; minutes
	go test -timeout 30m -v -run TestTwoHundredDays ./backend -longrun.credentials=2000

bench: ## measure, beside a constant answer and Vault's own KV: one table (ARGS="-only warm")
	@scripts/bench.sh $(ARGS)

demo: ## show with the vault CLI what the engine does, then stop everything
	@scripts/demo.sh

dev: ## leave a dev Vault and a simulated Facebook running until Ctrl-C
	@scripts/dev.sh

example: ## leave the JavaScript example running, with all that it needs, until Ctrl-C
	@scripts/example.sh

release: ## make the release VERSION=v1.2.3 (or the tag at HEAD) in dist/
	@scripts/release.sh $(VERSION)

lint: ## gofmt, go vet, staticcheck, govulncheck
	@scripts/lint.sh

fmt: ## format all Go files
	go fmt ./...

reference: ## write testdata/openapi.json anew, and the table of paths and docs/reference.md from it
	go test -run TestTheOpenAPIDocument ./backend -update
	go test -run TestThe ./internal/reference -update

clean: ## remove what was built, Vault included
	rm -rf bin dist js/node_modules js/*/node_modules js/*/dist
