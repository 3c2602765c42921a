// Package e2e runs unmodified RDMA programs, and small ones of our own that check data, errors and memory, in containers of
// a router that was built from this tree. See package host for what surrounds them.
//
// The tests need root, gcc, libibverbs-dev, ibverbs-utils and perftest; one that misses something fails and says what to
// install. `go test -count=1 ./test/...` runs them all.
package e2e
