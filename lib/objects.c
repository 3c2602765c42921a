#include "objects.h"

#include "real.h"

#include <errno.h>
#include <rdma/rdma_user_rxe.h>
#include <string.h>

/* enum ib_qp_attr_mask and enum ib_qp_state of rdma/ib_verbs.h */
#define QP_STATE	1
#define STATE_RTS	3

static void *map_table(size_t element)
{
	void *table = mmap(NULL, HANDLES_MAX * element, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return table == MAP_FAILED ? NULL : table;
}

int objects_init(struct objects *objects)
{
	objects->qp = map_table(sizeof(*objects->qp));
	objects->cq = map_table(sizeof(*objects->cq));
	objects->srq = map_table(sizeof(*objects->srq));
	objects->qp_end = 0;
	if (objects->qp && objects->cq && objects->srq)
		return 0;
	objects_free(objects);
	return ENOMEM;
}

static void unmap_table(void *table, size_t element)
{
	if (table)
		REAL(munmap)(table, HANDLES_MAX * element);
}

void objects_free(struct objects *objects)
{
	unmap_table(objects->qp, sizeof(*objects->qp));
	unmap_table(objects->cq, sizeof(*objects->cq));
	unmap_table(objects->srq, sizeof(*objects->srq));
	memset(objects, 0, sizeof(*objects));
}

bool objects_has_cq(const struct objects *objects, uint32_t handle)
{
	return handle < HANDLES_MAX && objects->cq && objects->cq[handle].live;
}

/* Both are copied into zeroed room: a short one reads as zeros. */
#define READ(destination, source, length, from)					\
	do {									\
		memset(&(destination), 0, sizeof(destination));			\
		if ((length) > (from))						\
			memcpy(&(destination), (const uint8_t *)(source) + (from), \
			       (length) - (from) < sizeof(destination) ?	\
			       (length) - (from) : sizeof(destination));	\
	} while (0)

static struct queue read_queue(const void *response, size_t length, size_t from)
{
	struct mminfo info;

	READ(info, response, length, from);
	return (struct queue){ .offset = info.offset, .size = info.size, .live = true };
}

static void learn_create_cq(struct objects *objects, const struct command *command,
			    const void *response, size_t length)
{
	size_t driver = command->extended ? command->driver_offset : sizeof(struct ib_uverbs_create_cq_resp);
	struct ib_uverbs_create_cq_resp core;

	READ(core, response, length, 0);
	if (core.cq_handle < HANDLES_MAX)
		objects->cq[core.cq_handle] = read_queue(response, length, driver);
}

static void learn_resize_cq(struct objects *objects, const struct command *command,
			    const void *response, size_t length)
{
	struct ib_uverbs_resize_cq request;

	READ(request, command->core, command->core_length, 0);
	if (objects_has_cq(objects, request.cq_handle))
		objects->cq[request.cq_handle] =
			read_queue(response, length, sizeof(struct ib_uverbs_resize_cq_resp));
}

static void learn_create_qp(struct objects *objects, const struct command *command,
			    const void *response, size_t length)
{
	/* The two forms of request differ by the response pointer in front. */
	size_t skip = command->extended ? 0 : sizeof(__u64);
	size_t driver = command->extended ? command->driver_offset : sizeof(struct ib_uverbs_create_qp_resp);
	struct ib_uverbs_ex_create_qp request;
	struct ib_uverbs_create_qp_resp core;
	struct qp_record *qp;

	READ(request, command->core, command->core_length, skip);
	READ(core, response, length, 0);
	if (core.qp_handle >= HANDLES_MAX)
		return;
	qp = &objects->qp[core.qp_handle];
	qp->live = true;
	qp->can_send = false;
	qp->qpn = core.qpn;
	qp->send_cq = request.send_cq_handle;
	qp->recv_cq = request.recv_cq_handle;
	qp->has_srq = request.is_srq;
	qp->srq = request.srq_handle;
	qp->rq = read_queue(response, length, driver);
	qp->sq = read_queue(response, length, driver + sizeof(struct mminfo));
	if (core.qp_handle >= objects->qp_end)
		objects->qp_end = core.qp_handle + 1;
}

/* A forked child's MODIFY_QP is not seen: context->forked lifts the check. */
static void learn_modify_qp(struct objects *objects, const struct command *command)
{
	struct ib_uverbs_modify_qp request;

	READ(request, command->core, command->core_length, 0);
	if (request.qp_handle < HANDLES_MAX && (request.attr_mask & QP_STATE))
		objects->qp[request.qp_handle].can_send = request.qp_state >= STATE_RTS;
}

static void learn_create_srq(struct objects *objects, const void *response, size_t length)
{
	struct ib_uverbs_create_srq_resp core;

	READ(core, response, length, 0);
	if (core.srq_handle < HANDLES_MAX)
		objects->srq[core.srq_handle] = read_queue(response, length, sizeof(core));
}

static void learn_modify_srq(struct objects *objects, const struct command *command,
			     const void *response, size_t length)
{
	struct ib_uverbs_modify_srq request;

	READ(request, command->core, command->core_length, 0);
	if (request.srq_handle < HANDLES_MAX && length >= sizeof(struct mminfo))
		objects->srq[request.srq_handle] = read_queue(response, length, 0);
}

/* DESTROY_CQ, DESTROY_QP and DESTROY_SRQ have the handle in one place. */
static uint32_t destroyed_handle(const struct command *command)
{
	struct ib_uverbs_destroy_cq request;

	READ(request, command->core, command->core_length, 0);
	return request.cq_handle < HANDLES_MAX ? request.cq_handle : HANDLES_MAX - 1;
}

void objects_learn(struct objects *objects, const struct command *command,
		   const void *response, size_t length)
{
	switch (command->number) {
	case IB_USER_VERBS_CMD_CREATE_CQ:
		learn_create_cq(objects, command, response, length);
		break;
	case IB_USER_VERBS_CMD_RESIZE_CQ:
		learn_resize_cq(objects, command, response, length);
		break;
	case IB_USER_VERBS_CMD_DESTROY_CQ:
		objects->cq[destroyed_handle(command)].live = false;
		break;
	case IB_USER_VERBS_CMD_CREATE_QP:
		learn_create_qp(objects, command, response, length);
		break;
	case IB_USER_VERBS_CMD_MODIFY_QP:
		learn_modify_qp(objects, command);
		break;
	case IB_USER_VERBS_CMD_DESTROY_QP:
		objects->qp[destroyed_handle(command)].live = false;
		objects->qp[destroyed_handle(command)].can_send = false;
		break;
	case IB_USER_VERBS_CMD_CREATE_SRQ:
	case IB_USER_VERBS_CMD_CREATE_XSRQ:
		learn_create_srq(objects, response, length);
		break;
	case IB_USER_VERBS_CMD_MODIFY_SRQ:
		learn_modify_srq(objects, command, response, length);
		break;
	case IB_USER_VERBS_CMD_DESTROY_SRQ:
		objects->srq[destroyed_handle(command)].live = false;
		break;
	}
}
