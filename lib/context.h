/*
 * A context: the device, opened once.
 *
 * Made by open("/dev/infiniband/uverbs0"), shared by every duplicate of the
 * descriptor which that returned and by forked children, ended when this
 * process closes the last duplicate. Contexts live in a fixed array and are
 * reused, so that a pointer to one is always safe to follow.
 */
#ifndef FF_CONTEXT_H
#define FF_CONTEXT_H

#include "fdtable.h"
#include "guard.h"
#include "objects.h"
#include "router.h"

#include <stdatomic.h>

#define CONTEXTS_MAX	120		/* below FD_CM: fdtable.h */
#define WORKERS_MAX	(ROUTER_FDS_MAX - 3)
#define CPUS_MAX	1024

struct context {
	/* What a doorbell reads: doorbell.c. */
	uint8_t *doorbell;		/* the doorbell file, mapped; NULL: none */
	_Atomic bool dead;		/* the router is gone */
	bool forked;			/* other processes command it too */
	uint32_t nworkers;
	int wake_fd[WORKERS_MAX];	/* hidden; an eventfd a worker */
	uint8_t worker_of_cpu[CPUS_MAX];

	_Atomic bool open;
	_Atomic int visible;		/* duplicates this process holds */
	bool joining;			/* a forked child that has yet to JOIN */

	pthread_mutex_t lock;		/* guards router, buffer, objects */
	struct router router;
	uint8_t *buffer;		/* of ROUTER_DATAGRAM_MAX bytes, for replies */
	struct objects objects;

	uint64_t id;
	uint8_t token[16];
	int rings_fd, memory_fd;	/* hidden */
	dev_t rings_device, memory_device;
	ino_t rings_inode, memory_inode;
};

extern struct context contexts[CONTEXTS_MAX];

/* Which contexts exist. Taken before every other lock. */
extern pthread_mutex_t contexts_lock;

/* The context of a visible descriptor, or NULL. May be stale: see fdtable.h. */
static inline struct context *context_of(int fd)
{
	uint8_t entry = fd_entry(fd);

	if (likely(entry == 0) || entry > CONTEXTS_MAX)
		return NULL;
	return &contexts[entry - 1];
}

/* Whether fd really is the context's rings file; forgets the entry if not. */
bool context_owns(struct context *context, int fd);

/* Opens the device: a descriptor, or -1 and errno. */
int context_open(int flags);

/*
 * No command is under way anywhere while these are held: contexts_lock, which
 * the caller holds, keeps the set of contexts as it is in between.
 */
void contexts_lock_all(void);
void contexts_unlock_all(void);

/* The program wants the number of a hidden descriptor: it moves away. */
void context_vacate(int fd);

/* A visible descriptor came to be, or went. */
void context_add(struct context *context, int fd);
void context_drop(uint8_t entry);

/*
 * A request to the router on the context's connection, which a forked child
 * makes first. The caller holds context->lock.
 */
int context_call(struct context *context, enum router_op op,
		 const struct iovec *body, int count, struct router_reply *reply);

/* This process did not open what it inherited: see fork.c. */
void context_forked(struct context *context);

#endif
