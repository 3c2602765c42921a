#include "orphan.h"

#include "context.h"
#include "env.h"
#include "flush.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/syscall.h>

#define STACK_SIZE		(256 * 1024)
#define PAUSE_FIRST_MS		1
#define PAUSE_LAST_MS		100
#define LINGER_MS		50

/*
 * A pipe, rather than an eventfd, because its inode tells it from a file that
 * the program put in the place of a descriptor it closed by a raw system call.
 */
static int wake_read = -1, wake_write = -1;
static ino_t wake_inode;

static pthread_mutex_t start_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic bool watching;
static _Atomic bool due;
static _Atomic bool main_thread_left;

bool orphan_is_watching(void)
{
	return watching;
}

static void wake(void)
{
	struct stat status;
	int fd = wake_write;

	if (fd >= 0 && LIBC(fstat)(fd, &status) == 0 && status.st_ino == wake_inode &&
	    LIBC(write)(fd, "", 1) < 0)
		return;		/* the pipe is full: it wakes anyway */
}

/* The connections to wait for; index 0 is the pipe. */
static nfds_t collect(struct pollfd *polled, bool *any_dead)
{
	nfds_t n = 0;

	polled[n++] = (struct pollfd){ wake_read, POLLIN, 0 };
	*any_dead = false;
	pthread_mutex_lock(&contexts_lock);
	for (int i = 0; i < CONTEXTS_MAX; i++) {
		struct context *context = &contexts[i];

		if (!context->open)
			continue;
		if (context->dead)
			*any_dead = true;
		else if (context->router.fd >= 0)
			polled[n++] = (struct pollfd){ context->router.fd, 0, 0 };
	}
	pthread_mutex_unlock(&contexts_lock);
	return n;
}

static bool hung_up(int fd)
{
	struct pollfd polled = { fd, 0, 0 };

	return LIBC(poll)(&polled, 1, 0) > 0;
}

/* Marks contexts whose connection ended. What poll() said may be outdated. */
static void bury(void)
{
	pthread_mutex_lock(&contexts_lock);
	for (int i = 0; i < CONTEXTS_MAX; i++) {
		struct context *context = &contexts[i];

		if (context->open && !context->dead && context->router.fd >= 0 &&
		    hung_up(context->router.fd)) {
			context->dead = true;
			debug("the router is gone");
		}
	}
	pthread_mutex_unlock(&contexts_lock);
}

static bool flush_dead(void)
{
	bool flushed = false;

	pthread_mutex_lock(&contexts_lock);
	for (int i = 0; i < CONTEXTS_MAX; i++) {
		struct context *context = &contexts[i];

		if (!context->open || !context->dead)
			continue;
		pthread_mutex_lock(&context->lock);
		flushed |= flush_context(context);
		pthread_mutex_unlock(&context->lock);
	}
	pthread_mutex_unlock(&contexts_lock);
	return flushed;
}

/*
 * A main thread that leaves by pthread_exit() stays as a shell; when but that
 * and this thread are left, the program would have ended.
 */
static void end_if_last(void)
{
	struct stat status;

	if (REAL(stat)("/proc/self/task", &status) == 0 && status.st_nlink <= 2 + 2)
		exit(0);
}

static int next_timeout(bool any_dead, bool flushed, int pause)
{
	if (!any_dead)
		return main_thread_left ? LINGER_MS : -1;
	if (flushed || pause <= 0)
		return PAUSE_FIRST_MS;
	pause *= 2;
	return pause > PAUSE_LAST_MS ? PAUSE_LAST_MS : pause;
}

/*
 * A dead context is looked at again and again while it is open: its CQs may
 * have been full, and receives can be posted without anybody being told.
 */
static void *watch(void *argument)
{
	static struct pollfd polled[CONTEXTS_MAX + 1];
	int pause = 0;

	for (;;) {
		bool any_dead, flushed = false;
		nfds_t n = collect(polled, &any_dead);
		char drained[64];

		if (any_dead)
			flushed = flush_dead();
		pause = next_timeout(any_dead, flushed, pause);
		if (LIBC(poll)(polled, n, pause) > 0) {
			if (polled[0].revents & POLLIN)
				while (LIBC(read)(polled[0].fd, drained, sizeof(drained)) > 0)
					;
			if (polled[0].revents & ~POLLIN) {
				wake_read = -1;		/* swept away by a raw system call */
				pause = PAUSE_LAST_MS;
			}
			bury();
		}
		if (main_thread_left)
			end_if_last();
	}
	return argument;
}

static int open_pipe(void)
{
	struct stat status;
	int ends[2];

	if (pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0)
		return -1;
	LIBC(fstat)(ends[0], &status);
	wake_inode = status.st_ino;
	wake_read = ends[0];
	wake_write = ends[1];
	fd_hide(&wake_read);
	fd_hide(&wake_write);
	return 0;
}

static void start(void)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int error;

	if (wake_read < 0 && open_pipe() != 0)
		return;
	pthread_attr_init(&attributes);
	pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	pthread_attr_setstacksize(&attributes, STACK_SIZE);
	/* The guard of our caller blocks signals, which the thread inherits. */
	error = pthread_create(&thread, &attributes, watch, NULL);
	if (error) {
		/* A program with much thread-local storage needs a larger stack. */
		pthread_attr_setstacksize(&attributes, 32 * STACK_SIZE);
		error = pthread_create(&thread, &attributes, watch, NULL);
	}
	pthread_attr_destroy(&attributes);
	watching = !error;
}

void orphan_watch(void)
{
	struct guard guard;

	due = false;
	guard_enter(&guard);
	pthread_mutex_lock(&start_lock);
	if (watching)
		wake();
	else
		start();
	pthread_mutex_unlock(&start_lock);
	guard_leave(&guard);
}

void orphan_watch_later(void)
{
	due = true;
}

void orphan_watch_if_due(void)
{
	if (unlikely(due))
		orphan_watch();
}

void orphan_forked(void)
{
	pthread_mutex_init(&start_lock, NULL);
	watching = false;
	main_thread_left = false;
	if (wake_read >= 0)
		fd_close_hidden(&wake_read);
	if (wake_write >= 0)
		fd_close_hidden(&wake_write);
}

EXPORT void pthread_exit(void *result)
{
	if (unlikely(watching && syscall(SYS_gettid) == getpid())) {
		main_thread_left = true;
		wake();
	}
	REAL(pthread_exit)(result);
	__builtin_unreachable();
}
