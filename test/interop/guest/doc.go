// Package guest boots Linux guests under QEMU whose RDMA device is the kernel's Soft-RoCE: peers that FreeFlow must get on with,
// and that have nothing of FreeFlow's in them.
//
//	test process ─── socket pair ── virtio serial port ──┐
//	  └── QEMU (pure emulation, one CPU)                 │
//	        ├── Debian's kernel, its rdma_rxe            │
//	        ├── initramfs: agent (the first process) ────┘, busybox, iproute2, rdma-core's programs, perftest
//	        └── eth0, rxe0 ── tap ── bridge in a network namespace that the test gives
//
// A guest is ready in two to three seconds. Build makes kernel and initramfs once and keeps them below os.TempDir, under the
// versions of all that is in them; programs and libraries are those of the machine that the test runs on, so that both
// sides speak the same perftest. Start boots; Guest.Run runs a script in the guest, Guest.Start does so in the background.
//
// What it is not: a fast machine (only ratios mean anything in it), or a test of timing. The network beyond the bridge is the
// test's. rxe of kernel 6.1 knows the initial network namespace only, so each device is a guest of its own.
//
// Nothing of a guest outlives the test process: the kernel kills QEMU with it (PDEATHSIG), the tap is a descriptor that goes
// with QEMU. Guests may be used from any goroutine.
package guest
