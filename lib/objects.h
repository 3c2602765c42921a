/*
 * What a context's objects are, learnt from the commands that make them: the
 * queues of each QP, CQ and SRQ and how they hang together, to release those
 * who wait when the router dies (flush.h), and which QPs may send, to refuse
 * the others' doorbells as the kernel does.
 *
 * Tables are indexed by handle, which docs/abi.md bounds, and mapped without
 * reservation, so that what is not used costs nothing.
 */
#ifndef FF_OBJECTS_H
#define FF_OBJECTS_H

#include "command.h"

#include <stdbool.h>
#include <stdint.h>

#define HANDLES_MAX 65536

struct queue {
	uint64_t offset;	/* in the rings file */
	uint32_t size;		/* 0: no queue */
	bool live;
};

struct qp_record {
	bool live;
	bool can_send;		/* RTS or beyond: post_send is allowed */
	bool has_srq;
	uint32_t qpn;
	uint32_t send_cq, recv_cq, srq;
	struct queue sq, rq;
};

struct objects {
	struct qp_record *qp;
	struct queue *cq;
	struct queue *srq;
	uint32_t qp_end;	/* no QP has a handle at or above this */
};

/* 0 or an errno. */
int objects_init(struct objects *objects);
void objects_free(struct objects *objects);

/* A command succeeded: remember what it made, changed or destroyed. */
void objects_learn(struct objects *objects, const struct command *command,
		   const void *response, size_t length);

bool objects_has_cq(const struct objects *objects, uint32_t handle);

#endif
