# FreeFlow. `make demo` and `make test` are what a newcomer needs; `make help` lists the rest.
SHELL := /bin/bash
GO ?= go
BIN := bin/freeflow
EMBED := cmd/freeflow/embedded/libfreeflow.so

.PHONY: help build lib
help: ## list the targets
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*##/\t/' | expand -t 14

build: lib ## build bin/freeflow, with the library embedded in it
	@mkdir -p bin
	CGO_ENABLED=0 $(GO) build -o $(BIN) ./cmd/freeflow

lib:
	@$(MAKE) --no-print-directory -C lib
	@mkdir -p $(dir $(EMBED))
	@cmp -s lib/build/libfreeflow.so $(EMBED) || cp lib/build/libfreeflow.so $(EMBED)
