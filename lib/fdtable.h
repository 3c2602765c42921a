/*
 * Which descriptors are the library's: one byte for each number a descriptor
 * can have, so that the calls everybody makes (write, close, ioctl) learn with
 * one bounds check and one load that a descriptor is none of ours.
 *
 *   0                 not ours
 *   1 ... CONTEXTS_MAX
 *                     a visible descriptor: the program's own handle of an
 *                     opened uverbs device; the value names the context
 *   FD_CM             a visible one of rdma_cm: a channel
 *   FD_HIDDEN         a hidden one: the program does not know it exists, so
 *                     close() answers EBADF, sweeps spare it, and it makes way
 *                     when the program wants its number
 *
 * The byte can be stale: a raw system call closes descriptors without us. So
 * whoever acts on more than a doorbell asks context_owns() (context.h) or
 * channel_owns() (channel.h) first.
 */
#ifndef FF_FDTABLE_H
#define FF_FDTABLE_H

#include "real.h"

#include <stdbool.h>
#include <stdint.h>

#define FD_MAX		(1 << 20)	/* the kernel's default for fs.nr_open */
#define FD_CM		254
#define FD_HIDDEN	255

extern uint8_t fd_table[FD_MAX];

static inline uint8_t fd_entry(int fd)
{
	if (unlikely((unsigned int)fd >= FD_MAX))
		return 0;
	return __atomic_load_n(&fd_table[fd], __ATOMIC_RELAXED);
}

/* Returns what stood there before. */
uint8_t fd_exchange(int fd, uint8_t entry);

/*
 * Moves the descriptor *place to a high number and hides it. The place is
 * remembered: where the descriptor has to move again, *place is updated.
 */
void fd_hide(int *place);

/* Closes a hidden descriptor and sets *place to -1. */
void fd_close_hidden(int *place);

/* *place is hidden no more, and -1: its number is another file's by now. */
void fd_forget_hidden(int *place);

/* Makes way if fd is hidden: for context_vacate(), inside a guard. */
void fd_vacate(int fd);

/* The lowest hidden descriptor that is not below fd, or -1. */
int fd_next_hidden(int fd);

/* The lowest descriptor known as ours in [first, last], or -1. */
int fd_next_known(unsigned int first, unsigned int last);

/* Around a fork: see fork.c. */
void fd_lock_hidden(void);
void fd_unlock_hidden(void);
void fd_reset_lock(void);

#endif
