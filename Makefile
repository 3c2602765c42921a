# FreeFlow. `make demo` and `make test` are what a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
export PATH := $(PATH):/usr/local/go/bin
GO    ?= go
BIN   := bin/freeflow
EMBED := cmd/freeflow/embedded/libfreeflow.so
SUDO  := $(shell [ "$$(id -u)" = 0 ] || command -v sudo)

TOOLS := bin/ffpairs bin/ffregister
LINT  := $(GO) run github.com/golangci/golangci-lint/v2/cmd/golangci-lint@v2.15.0

# For `make bench` and `make accept`: RUNS rounds of each measurement, QUICK=1 for fewer sizes, FIGURES for some figures or sections.
RUNS     ?= 5
QUICK    ?=
FIGURES  ?=
OUT      ?= bench/out
FUZZTIME ?= 10s
TESTTIME ?= 50m

.PHONY: help demo test bench accept interop build lib tools deps check fmt vet lint unit race fuzz clean
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

demo: deps build ## RDMA over FreeFlow beside TCP between two containers, on one host and on two
	@$(SUDO) $(BIN) bench demo

test: deps build tools ## every test; ends with how many passed, failed and were skipped
	@mkdir -p bin
	@$(GO) build -o bin/report ./test/report
	@{ $(MAKE) --no-print-directory -C lib test || echo "not ok - make -C lib test"; \
	   $(MAKE) --no-print-directory -C lib asan || echo "not ok - make -C lib asan"; \
	   $(GO) vet ./... || echo "not ok - go vet"; \
	   $(SUDO) env PATH="$$PATH" $(GO) test -json -race -timeout $(TESTTIME) ./...; } 2>&1 | bin/report

bench: deps build tools ## the paper's figures for one host and for two: CSV, PNG and tables, in bench/out
	@$(SUDO) $(BIN) bench figures --runs $(RUNS) $(if $(QUICK),--quick) --out $(OUT) $(FIGURES)
	@$(GO) run ./bench/plot $(OUT)

accept: deps build tools ## the project's bars for speed beside what is measured
	@$(SUDO) $(BIN) bench accept --runs $(RUNS) $(if $(QUICK),--quick) $(FIGURES)

interop: deps build ## every row of FreeFlow against the kernel's Soft-RoCE, in guests under QEMU; make test runs the most telling
	@$(SUDO) env PATH="$$PATH" FF_INTEROP_ALL=1 FREEFLOW_BIN=$(CURDIR)/$(BIN) $(GO) test -p 1 -v -timeout 40m ./test/interop/...

build: lib ## build bin/freeflow, with the library embedded in it
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -o $(BIN) ./cmd/freeflow

lib:
	@$(MAKE) --no-print-directory -C lib
	@mkdir -p $(dir $(EMBED))
	@cmp -s lib/build/libfreeflow.so $(EMBED) || cp lib/build/libfreeflow.so $(EMBED)

tools: $(TOOLS)
bin/ff%: bench/tools/%.c bench/tools/common.h
	@mkdir -p bin
	gcc -O2 -Wall -Wextra -Wshadow -Wstrict-prototypes -Werror -o $@ $< -libverbs

deps: ## install the Debian packages that are missing
	@.ci/deps

check: fmt vet lint unit race ## what to run before a commit

fmt: ## is everything formatted
	@files=$$(gofmt -l cmd internal test bench); [ -z "$$files" ] || { echo "gofmt -w" $$files; exit 1; }

vet:
	$(GO) vet ./...

lint: ## golangci-lint
	$(LINT) run ./...

unit: ## unit tests: no containers, seconds
	$(GO) test -short ./cmd/... ./internal/...

race: ## unit tests with the race detector
	$(GO) test -race ./cmd/... ./internal/...

fuzz: ## every fuzz target for FUZZTIME
	@grep -rlE '^func Fuzz' --include='*_test.go' cmd internal | while read -r file; do \
		for target in $$(sed -nE 's/^func (Fuzz[A-Za-z0-9_]+)\(.*/\1/p' "$$file"); do \
			echo "== $$(dirname $$file) $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) ./$$(dirname $$file) </dev/null || exit 1; \
		done; \
	done

clean: ## remove what was built
	rm -rf bin bench/out $(EMBED)
	@$(MAKE) --no-print-directory -C lib clean
