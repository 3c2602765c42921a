#include "fdtable.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/resource.h>

#define HIDDEN_MAX 4096

uint8_t fd_table[FD_MAX];

/* Who remembers each hidden descriptor. */
static pthread_mutex_t hidden_lock = PTHREAD_MUTEX_INITIALIZER;
static int *hidden[HIDDEN_MAX];
static int nhidden;

/* No entry at or above this number was ever set: bounds the sweeps. */
static _Atomic int ceiling;

uint8_t fd_exchange(int fd, uint8_t entry)
{
	if ((unsigned int)fd >= FD_MAX)
		return 0;
	if (entry) {
		int top = ceiling;

		while (fd >= top && !__atomic_compare_exchange_n((int *)&ceiling, &top, fd + 1, false,
						__ATOMIC_RELAXED, __ATOMIC_RELAXED))
			;
	}
	return __atomic_exchange_n(&fd_table[fd], entry, __ATOMIC_SEQ_CST);
}

/*
 * High enough to be out of the program's way, low enough that the kernel's
 * table of descriptors stays small.
 */
static int high_number(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur > 4096)
		return 3072;
	return (int)(limit.rlim_cur / 4 * 3);
}

/* Moves fd up and marks it; the old number is free afterwards. */
static int move_up(int fd)
{
	int high = LIBC(fcntl)(fd, F_DUPFD_CLOEXEC, high_number());

	if (high < 0)
		return -1;
	if (high >= FD_MAX) {
		LIBC(close)(high);
		return -1;
	}
	fd_exchange(high, FD_HIDDEN);
	return high;
}

void fd_hide(int *place)
{
	int low = *place, high = move_up(low);

	if (high >= 0) {
		LIBC(close)(low);
		*place = high;
	} else {
		fd_exchange(low, FD_HIDDEN);
	}

	pthread_mutex_lock(&hidden_lock);
	if (nhidden < HIDDEN_MAX)
		hidden[nhidden++] = place;
	pthread_mutex_unlock(&hidden_lock);
}

/* Returns the number that was hidden. */
static int unhide(int *place)
{
	int fd;

	pthread_mutex_lock(&hidden_lock);
	for (int i = 0; i < nhidden; i++)
		if (hidden[i] == place)
			hidden[i--] = hidden[--nhidden];
	fd = *place;
	*place = -1;
	pthread_mutex_unlock(&hidden_lock);

	if (fd >= 0)
		fd_exchange(fd, 0);
	return fd;
}

void fd_close_hidden(int *place)
{
	int fd = unhide(place);

	if (fd >= 0)
		LIBC(close)(fd);
}

void fd_forget_hidden(int *place)
{
	unhide(place);
}

void fd_vacate(int fd)
{
	pthread_mutex_lock(&hidden_lock);
	for (int i = 0; i < nhidden; i++) {
		int high;

		if (*hidden[i] != fd)
			continue;
		high = move_up(fd);
		if (high >= 0) {
			__atomic_store_n(hidden[i], high, __ATOMIC_RELEASE);
			fd_exchange(fd, 0);
		}
		break;
	}
	pthread_mutex_unlock(&hidden_lock);
}

int fd_next_hidden(int fd)
{
	int top = ceiling;

	for (; fd < top; fd++)
		if (fd_entry(fd) == FD_HIDDEN)
			return fd;
	return -1;
}

int fd_next_known(unsigned int first, unsigned int last)
{
	unsigned int top = (unsigned int)ceiling;

	for (unsigned int fd = first; fd < top && fd <= last; fd++)
		if (fd_entry((int)fd))
			return (int)fd;
	return -1;
}

void fd_lock_hidden(void)
{
	pthread_mutex_lock(&hidden_lock);
}

void fd_unlock_hidden(void)
{
	pthread_mutex_unlock(&hidden_lock);
}

void fd_reset_lock(void)
{
	pthread_mutex_init(&hidden_lock, NULL);
}
