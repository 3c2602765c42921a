// Package host gives end-to-end tests a FreeFlow host of their own: a router in a network namespace of its own, and the
// containers that `freeflow run` starts with it.
//
//	test process
//	  ├── network namespace of the host ── router (freeflow up --run-dir /tmp/ff-e2e-PID-*/run)
//	  │        bridge ── veth ── eth0 ┐
//	  └── freeflow run ── container's network namespace ── program
//
// Nothing of a host outlives the test process, however that ends: the kernel kills router and runners with it
// (PDEATHSIG), namespaces go with the last process in them, and directories that a killed test process left are removed
// by the next.
//
// The programs come from Debian (perftest, ibverbs-utils, ...) or from test/programs, which Program compiles. Root is
// needed, and whatever is missing fails a test with a line that says what to install.
package host
