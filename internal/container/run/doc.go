// Package run is `freeflow run`: it starts a program in a container of its own, and stays until the
// program has ended.
//
// The process is the container's holder. Its main thread enters a new network namespace, so that the
// namespace of the process, as the kernel tells it to the router, is the container's; all other threads
// stay outside. Having registered, it forks the program from the main thread, which therefore runs in
// the namespace too. There is no helper process in between.
//
//	freeflow run            router
//	 unshare(NEWNET)
//	 register ────────────▶ eth0, files
//	        ◀──────────── address, paths       (the connection stays open: the lease)
//	 fork, exec CMD
//	 wait, forward signals
//	 kill what CMD left
//	 release ─────────────▶ take all back
//
// What ends with what:
//   - CMD ends: every process that is left in the container's namespace is killed, and run exits with
//     CMD's status, as a shell would give it.
//   - run is killed: the kernel kills CMD (PR_SET_PDEATHSIG; not so if CMD is set-user-ID), and the router,
//     whose connection breaks, kills the rest and takes the network back.
//   - the router ends: CMD goes on, without RDMA for contexts that were open; run registers again, under
//     the same name and address, as soon as a router is there.
//
// Signals. Where there is a controlling terminal, CMD is in the same process group as run, so job control
// and pipelines work as if CMD had been started directly. The terminal's own signals (INT, QUIT, WINCH)
// then reach CMD from the terminal, and run, while its group is in the foreground, does not send them
// again. Without a terminal CMD has a process group of its own. All other signals are passed on.
//
// Exit status: CMD's; 128+n if signal n ended it; 127 if it was not found, 126 if it cannot be executed,
// 125 if the container could not be made.
package run
