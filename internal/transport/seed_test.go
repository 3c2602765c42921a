package transport

import (
	"os"
	"strconv"
	"testing"
)

// TestSeed is one run of TestAnything, for who looks for a fault.
func TestSeed(t *testing.T) {
	if s, err := strconv.ParseUint(os.Getenv("SEED"), 10, 64); err == nil {
		anything(t, s)
	}
}
