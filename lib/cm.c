#include "cm.h"

#include "channel.h"
#include "cm_router.h"
#include "env.h"
#include "guard.h"
#include "process.h"
#include "reach.h"
#include "ucm.h"

#include <errno.h>
#include <string.h>

/* CM_COMMAND's own header. */
struct cm_command_header {
	uint64_t inode;
	uint64_t aux;
	uint32_t command_length;
	uint32_t data_length;
};

_Static_assert(sizeof(struct cm_command_header) == 24, "docs/abi.md");

/* What comes before the response in CM_COMMAND's reply. */
struct cm_reply_header {
	uint32_t tokens;
	uint32_t reserved;
};

static int fill_header(struct cm_command_header *header, int fd, const struct ucm *command)
{
	int old = command->old_channel;

	*header = (struct cm_command_header){
		.inode = channel_inode(fd),
		.command_length = (uint32_t)command->length,
		.data_length = (uint32_t)command->option_length,
	};
	if (command->number != RDMA_USER_CM_CMD_MIGRATE_ID)
		return 0;
	if (fd_entry(old) != FD_CM || !channel_owns(old))
		return LIBC(fcntl)(old, F_GETFD) < 0 ? EBADF : EINVAL;
	header->aux = channel_inode(old);
	return 0;
}

/* The events of an id that was destroyed or migrated do not wait any more. */
static void withdraw(int fd, uint32_t tokens)
{
	while (tokens-- > 0 && channel_take_token(fd) == 0)
		;
}

static void take_reply(int fd, const struct ucm *command, const struct router_reply *reply)
{
	struct cm_reply_header header;
	size_t length = reply->length - sizeof(header);

	memcpy(&header, reply->body, sizeof(header));
	if (length > command->response_room)
		length = command->response_room;
	if (length > 0)
		memcpy(command->response, (uint8_t *)reply->body + sizeof(header), length);
	withdraw(command->old_channel >= 0 ? command->old_channel : fd, header.tokens);
}

/*
 * The response goes to the program under the lock: the buffer that it stands in
 * is the connection's. Tokens are withdrawn under it too, so that no thread has
 * one in hand whose event went meanwhile.
 */
static int forward_locked(int fd, const struct ucm *command)
{
	static const uint8_t zeros[8];
	struct cm_command_header header;
	struct iovec body[] = {
		{ &header, sizeof(header) },
		{ (void *)(uintptr_t)command->bytes, command->length },
		{ (void *)(uintptr_t)zeros, -command->length % 8 },
		{ (void *)(uintptr_t)command->option, command->option_length },
	};
	struct router_reply reply;
	int error = fill_header(&header, fd, command);

	if (error)
		return error;
	if (cm_connect() != 0)
		return EIO;
	error = cm_call(ROUTER_CM_COMMAND, body, 4, &reply);
	if (!error && reply.length < sizeof(struct cm_reply_header))
		error = EIO;
	if (!error)
		take_reply(fd, command, &reply);
	router_close_fds(&reply);
	return error;
}

/* 0 or an errno. GET_EVENT begins with a token. */
static int forward(int fd, const struct ucm *command)
{
	struct guard guard;
	int error = 0;

	guard_enter(&guard);
	cm_lock();
	if (command->number == RDMA_USER_CM_CMD_GET_EVENT)
		error = channel_take_token(fd);
	if (!error)
		error = forward_locked(fd, command);
	/* What no router knows was a channel of one that is gone. */
	if (error == EBADF && channel_is_dead(fd))
		error = ENODEV;
	cm_unlock();
	guard_leave(&guard);
	return error;
}

/*
 * Another thread may have been quicker, or another process that has the channel
 * may have had the event withdrawn: the router says EAGAIN. It begins again.
 */
static int get_event(int fd, const struct ucm *command)
{
	int error;

	do {
		error = channel_wait(fd);
		if (error)
			return error;
		error = forward(fd, command);
	} while (error == EAGAIN);
	return error;
}

/* How far the parser looks, and how much of a response matters. */
#define COMMAND_LOOK	64
#define RESPONSE_LOOK	sizeof(uint32_t)

static size_t least(size_t a, size_t b)
{
	return a < b ? a : b;
}

static int parse(struct ucm *command, const void *bytes, size_t length)
{
	int error;

	if (length >= sizeof(struct rdma_ucm_cmd_hdr) && !can_read(bytes, least(length, COMMAND_LOOK)))
		return EFAULT;
	error = ucm_parse(command, bytes, length);
	if (!error && !can_write(command->response, least(command->response_room, RESPONSE_LOOK)))
		error = EFAULT;
	return error;
}

ssize_t cm_write(int fd, const void *bytes, size_t length)
{
	struct ucm command = { .number = 0 };
	int error;

	if (!process_is_owner()) {
		errno = ENODEV;
		return -1;
	}
	if (!channel_owns(fd))
		return REAL(write)(fd, bytes, length);
	error = parse(&command, bytes, length);
	if (!error && command.number == RDMA_USER_CM_CMD_GET_EVENT)
		error = get_event(fd, &command);
	else if (!error)
		error = forward(fd, &command);
	if (error) {
		debug("rdma_cm command %u: error %d", command.number, error);
		errno = error;
		return -1;
	}
	return (ssize_t)length;
}
