/*
 * Holding a lock inside somebody else's process.
 *
 * The thread that holds one of this library's locks must come back to release
 * it: no signal handler of the program may run meanwhile (it could jump away,
 * fork, or call into the library again) and the thread must not be cancelled.
 * A guard gives that, and puts errno back.
 *
 * Locks are taken in this order, and all of them around a fork:
 *
 *   contexts_lock   which contexts exist           context.c
 *   memory_lock     pieces and registrations       memory.c
 *   context.lock    a context's connection         context.c
 *   cm_lock()       the connection for rdma_cm     cm_router.c
 *   hidden_lock     which descriptors are hidden   fdtable.c
 *
 * Nothing is allocated with malloc() under a lock: the program's allocator may
 * call munmap() or madvise(), which are this library's.
 */
#ifndef FF_GUARD_H
#define FF_GUARD_H

#include <pthread.h>
#include <signal.h>

struct guard {
	sigset_t signals;
	int cancel;
	int saved_errno;
};

void guard_enter(struct guard *guard);
void guard_leave(struct guard *guard);

#endif
