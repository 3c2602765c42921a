#include "uverbs.h"

#include "doorbell.h"
#include "env.h"
#include "memory.h"
#include "orphan.h"

#include <errno.h>
#include <rdma/rdma_user_rxe.h>
#include <string.h>

/* COMMAND's own header. */
struct command_header {
	uint64_t aux;
	uint32_t command_length;
	uint32_t nextents;
};

_Static_assert(sizeof(struct command_header) == 16, "docs/abi.md");

/* What the router needs to know besides the command itself. */
struct extra {
	uint64_t aux;
	const struct extent *extents;
	uint32_t nextents;
};

/*
 * A response is copied as far as the program made room, and the rest of the
 * room is cleared: its buffer is uninitialised stack.
 */
static void copy_response(const struct command *command, const uint8_t *bytes, size_t length)
{
	if (!command->response)
		return;
	if (length > command->response_room)
		length = command->response_room;
	memcpy(command->response, bytes, length);
	memset((uint8_t *)command->response + length, 0, command->response_room - length);
}

/* MODIFY_SRQ has no response; the rxe provider passes a pointer of its own. */
static void copy_srq_queue(const struct command *command, const uint8_t *bytes, size_t length)
{
	const size_t at = sizeof(struct ib_uverbs_modify_srq);
	struct rxe_modify_srq_cmd driver;

	if (length < sizeof(struct mminfo) || command->core_length < at + sizeof(driver))
		return;
	memcpy(&driver, command->core + at, sizeof(driver));
	if (driver.mmap_info_addr)
		memcpy((void *)(uintptr_t)driver.mmap_info_addr, bytes, sizeof(struct mminfo));
}

/* GET_CONTEXT and CREATE_COMP_CHANNEL answer with a descriptor's number. */
static int take_descriptor(const struct command *command, struct router_reply *reply)
{
	bool due = !command->extended && (command->number == IB_USER_VERBS_CMD_GET_CONTEXT ||
					  command->number == IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL);

	if (!due || reply->nfds != 1 || reply->length < sizeof(int) ||
	    command->response_room < sizeof(int)) {
		router_close_fds(reply);
		return due ? EIO : 0;
	}
	memcpy(reply->body, &reply->fds[0], sizeof(int));
	return 0;
}

static int forward_locked(struct context *context, const struct command *command,
			  const struct extra *extra, struct router_reply *reply)
{
	static const uint8_t zeros[8];
	struct command_header header = {
		.aux = extra->aux,
		.command_length = (uint32_t)command->length,
		.nextents = extra->nextents,
	};
	struct iovec body[] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)command->bytes, command->length },
		{ (void *)(uintptr_t)zeros, -command->length % 8 },
		{ (void *)(uintptr_t)extra->extents, extra->nextents * sizeof(struct extent) },
	};
	int error = context_call(context, ROUTER_COMMAND, body, 4, reply);

	if (!error)
		error = take_descriptor(command, reply);
	if (!error)
		objects_learn(&context->objects, command, reply->body, reply->length);
	return error;
}

/*
 * The response is copied under the lock: the buffer it stands in is the
 * context's. That touches the program's memory, so no memory may be frozen
 * (freeze.h) meanwhile by a thread that waits for this lock: none does.
 */
static int forward(struct context *context, const struct command *command, const struct extra *extra)
{
	struct router_reply reply = { .room = ROUTER_DATAGRAM_MAX };
	int error;

	pthread_mutex_lock(&context->lock);
	reply.body = context->buffer;
	error = context->open ? forward_locked(context, command, extra, &reply) : EIO;
	if (!error && !command->extended && command->number == IB_USER_VERBS_CMD_MODIFY_SRQ)
		copy_srq_queue(command, context->buffer, reply.length);
	else if (!error)
		copy_response(command, context->buffer, reply.length);
	pthread_mutex_unlock(&context->lock);

	/* A number that a raw close() freed may still be on record as ours. */
	if (!error && reply.nfds == 1)
		context_drop(fd_exchange(reply.fds[0], 0));
	return error;
}

/* The channel is known to the router by the inode both ends can see. */
static int create_cq(struct context *context, const struct command *command)
{
	size_t skip = command->extended ? 0 : sizeof(__u64);
	size_t at = skip + offsetof(struct ib_uverbs_ex_create_cq, comp_channel);
	struct extra extra = { 0 };
	struct stat status;
	int32_t channel;

	if (command->core_length < at + sizeof(channel))
		return EINVAL;
	memcpy(&channel, command->core + at, sizeof(channel));
	if (channel >= 0) {
		if (LIBC(fstat)(channel, &status) != 0 || !S_ISSOCK(status.st_mode))
			return EBADF;
		extra.aux = status.st_ino;
	}
	return forward(context, command, &extra);
}

static int reg_mr(struct context *context, const struct command *command)
{
	struct ib_uverbs_reg_mr request;
	struct registration registration;
	struct extra extra = { 0 };
	uint32_t handle = 0;
	int error;

	if (command->core_length < sizeof(request) || command->response_room < sizeof(handle))
		return EINVAL;
	memcpy(&request, command->core, sizeof(request));
	if ((request.start ^ request.hca_va) & (page_size - 1))
		return EINVAL;

	error = memory_register(&registration, context, &request);
	if (error)
		return error;
	extra.extents = registration.extents;
	extra.nextents = registration.nextents;
	error = forward(context, command, &extra);
	if (!error)
		memcpy(&handle, command->response, sizeof(handle));
	memory_registered(&registration, error, handle);
	return error;
}

static int dereg_mr(struct context *context, const struct command *command)
{
	struct ib_uverbs_dereg_mr request;
	struct extra extra = { 0 };
	int error;

	if (command->core_length < sizeof(request))
		return EINVAL;
	memcpy(&request, command->core, sizeof(request));
	error = forward(context, command, &extra);
	if (!error)
		memory_deregister(context, request.mr_handle);
	return error;
}

/* Of another shape than the one write() lets through at once. */
static int req_notify_cq(struct context *context, const struct command *command)
{
	struct ib_uverbs_req_notify_cq request;

	if (command->core_length < sizeof(request))
		return EINVAL;
	memcpy(&request, command->core, sizeof(request));
	return doorbell_arm(context, request.cq_handle, request.solicited_only);
}

/* A doorbell of another shape than the one write() lets through at once. */
static int post_send(struct context *context, const struct command *command)
{
	struct ib_uverbs_post_send request;
	struct extra extra = { 0 };

	if (command->core_length < sizeof(request))
		return EINVAL;
	memcpy(&request, command->core, sizeof(request));
	if (request.wr_count == 0)
		return doorbell_ring(context, request.qp_handle);
	return forward(context, command, &extra);
}

static int run(struct context *context, const struct command *command)
{
	struct extra extra = { 0 };

	if (context->dead)
		return EIO;
	if (command->number == IB_USER_VERBS_CMD_CREATE_CQ)
		return create_cq(context, command);
	if (command->extended)
		return forward(context, command, &extra);

	switch (command->number) {
	case IB_USER_VERBS_CMD_REG_MR:
		return reg_mr(context, command);
	case IB_USER_VERBS_CMD_DEREG_MR:
		return dereg_mr(context, command);
	case IB_USER_VERBS_CMD_REQ_NOTIFY_CQ:
		return req_notify_cq(context, command);
	case IB_USER_VERBS_CMD_POST_SEND:
		return post_send(context, command);
	default:
		return forward(context, command, &extra);
	}
}

ssize_t uverbs_write(struct context *context, const void *bytes, size_t length)
{
	struct command command;
	struct guard guard;
	int error;

	guard_enter(&guard);
	error = command_parse(&command, bytes, length);
	if (!error)
		error = run(context, &command);
	orphan_watch_if_due();
	guard_leave(&guard);

	if (error) {
		debug("command %u: error %d", command.number, error);
		errno = error;
		return -1;
	}
	return (ssize_t)length;
}
