#include "guard.h"

#include <errno.h>
#include <stddef.h>

void guard_enter(struct guard *guard)
{
	sigset_t all;

	guard->saved_errno = errno;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &guard->cancel);

	/* Faults stay deliverable: to block one that happens is to die of it. */
	sigfillset(&all);
	sigdelset(&all, SIGSEGV);
	sigdelset(&all, SIGBUS);
	sigdelset(&all, SIGILL);
	sigdelset(&all, SIGFPE);
	sigdelset(&all, SIGABRT);
	pthread_sigmask(SIG_BLOCK, &all, &guard->signals);
}

void guard_leave(struct guard *guard)
{
	pthread_sigmask(SIG_SETMASK, &guard->signals, NULL);
	pthread_setcancelstate(guard->cancel, NULL);
	errno = guard->saved_errno;
}
