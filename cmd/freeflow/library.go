package main

import (
	"embed"
	"errors"
)

// embedded holds libfreeflow.so if `make build` has put it there; the directory is never empty, so that
// the Go code builds without it.
//
//go:embed all:embedded
var embedded embed.FS

func embeddedLibrary() ([]byte, error) {
	library, err := embedded.ReadFile("embedded/libfreeflow.so")
	if err != nil {
		return nil, errors.New("this binary was built without libfreeflow.so: build it with `make build`")
	}
	return library, nil
}
