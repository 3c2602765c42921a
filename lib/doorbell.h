/*
 * The doorbell file: docs/abi.md, "The doorbell file".
 *
 * Its write side only: no locks, and no system call but the write() to an
 * eventfd that wakes a sleeping worker.
 */
#ifndef FF_DOORBELL_H
#define FF_DOORBELL_H

#include "context.h"

#include <rdma/ib_user_verbs.h>
#include <string.h>

#define DOORBELL_MAGIC		0x42444646u
#define DOORBELL_VERSION	1
#define DOORBELL_POLL		0x0040
#define DOORBELL_SUMMARY	0x0080
#define DOORBELL_QP_BITS	0x1000
#define DOORBELL_CQ_ARM		0x4000
#define DOORBELL_SIZE		(DOORBELL_CQ_ARM + 4 * HANDLES_MAX)

/* What the rxe provider writes to say "look at this QP's send queue". */
struct doorbell_command {
	struct ib_uverbs_cmd_hdr header;
	uint64_t response;
	uint32_t qp_handle;
	uint32_t wr_count;
	uint32_t sge_count;
	uint32_t wqe_size;
};

_Static_assert(sizeof(struct doorbell_command) == 32, "rdma/ib_user_verbs.h");

static inline bool is_doorbell(const void *bytes, size_t length, uint32_t *qp_handle)
{
	struct doorbell_command command;

	if (length != sizeof(command))
		return false;
	memcpy(&command, bytes, sizeof(command));
	*qp_handle = command.qp_handle;
	return command.header.command == IB_USER_VERBS_CMD_POST_SEND &&
	       command.header.in_words == sizeof(command) / 4 && command.wr_count == 0;
}

/* What libibverbs writes for ibv_req_notify_cq(). */
struct arm_command {
	struct ib_uverbs_cmd_hdr header;
	struct ib_uverbs_req_notify_cq request;
};

_Static_assert(sizeof(struct arm_command) == 16, "rdma/ib_user_verbs.h");

static inline bool is_arm(const void *bytes, size_t length, struct ib_uverbs_req_notify_cq *request)
{
	struct arm_command command;

	if (length != sizeof(command))
		return false;
	memcpy(&command, bytes, sizeof(command));
	*request = command.request;
	return command.header.command == IB_USER_VERBS_CMD_REQ_NOTIFY_CQ &&
	       command.header.in_words == sizeof(command) / 4;
}

/* 0 or an errno; does not touch errno itself. */
int doorbell_ring(struct context *context, uint32_t qp_handle);

/* REQ_NOTIFY_CQ. */
int doorbell_arm(struct context *context, uint32_t cq_handle, bool solicited_only);

/* The worker of the core this thread runs on shall look. */
void doorbell_wake(struct context *context);

#endif
