package main

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
)

// What is expected of internal/router, until it is there.
type routerConfig struct {
	RunDir, DataDir string
	Network         netip.Prefix
	Mode            string
	Log             *slog.Logger
	Library         []byte
}

func serveRouter(context.Context, routerConfig) error {
	return errors.New("this build has no router")
}
