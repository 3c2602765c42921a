#include "ucm.h"

#include <errno.h>
#include <string.h>

#define NOWHERE	SIZE_MAX

/* Where in its structure a command has the response pointer. */
static size_t response_at(uint32_t number)
{
	switch (number) {
	case RDMA_USER_CM_CMD_CREATE_ID:
		return offsetof(struct rdma_ucm_create_id, response);
	case RDMA_USER_CM_CMD_DESTROY_ID:
	case RDMA_USER_CM_CMD_LEAVE_MCAST:
		return offsetof(struct rdma_ucm_destroy_id, response);
	case RDMA_USER_CM_CMD_QUERY_ROUTE:
	case RDMA_USER_CM_CMD_QUERY:
		return offsetof(struct rdma_ucm_query, response);
	case RDMA_USER_CM_CMD_INIT_QP_ATTR:
		return offsetof(struct rdma_ucm_init_qp_attr, response);
	case RDMA_USER_CM_CMD_GET_EVENT:
		return offsetof(struct rdma_ucm_get_event, response);
	case RDMA_USER_CM_CMD_JOIN_IP_MCAST:
		return offsetof(struct rdma_ucm_join_ip_mcast, response);
	case RDMA_USER_CM_CMD_JOIN_MCAST:
		return offsetof(struct rdma_ucm_join_mcast, response);
	case RDMA_USER_CM_CMD_MIGRATE_ID:
		return offsetof(struct rdma_ucm_migrate_id, response);
	default:
		return NOWHERE;
	}
}

static int parse_option(struct ucm *command, const uint8_t *body, size_t length)
{
	struct rdma_ucm_set_option request;

	if (length < sizeof(request))
		return EINVAL;
	memcpy(&request, body, sizeof(request));
	if (request.optlen > UCM_OPTION_MAX)
		return EINVAL;
	command->option = (const void *)(uintptr_t)request.optval;
	command->option_length = request.optlen;
	return 0;
}

static int parse_migration(struct ucm *command, const uint8_t *body, size_t length)
{
	struct rdma_ucm_migrate_id request;

	if (length < sizeof(request))
		return EINVAL;
	memcpy(&request, body, sizeof(request));
	command->old_channel = (int)request.fd;
	return 0;
}

/* Refused before an event is waited for: a token taken must find its event. */
static int check_event_room(const struct ucm *command)
{
	return command->response_room < offsetof(struct rdma_ucm_event_resp, reserved) ? ENOSPC : 0;
}

int ucm_parse(struct ucm *command, const void *bytes, size_t length)
{
	struct rdma_ucm_cmd_hdr header;
	const uint8_t *body = (const uint8_t *)bytes + sizeof(header);
	uint64_t response;
	size_t at;

	memset(command, 0, sizeof(*command));
	command->old_channel = -1;
	if (length < sizeof(header))
		return EINVAL;
	memcpy(&header, bytes, sizeof(header));
	command->number = header.cmd;
	if (header.in > length - sizeof(header))
		return EINVAL;
	command->bytes = bytes;
	command->length = sizeof(header) + header.in;

	at = response_at(header.cmd);
	if (at != NOWHERE) {
		if (header.in < at + sizeof(response))
			return EINVAL;
		memcpy(&response, body + at, sizeof(response));
		command->response = (void *)(uintptr_t)response;
		command->response_room = header.out;
	}
	switch (header.cmd) {
	case RDMA_USER_CM_CMD_SET_OPTION:
		return parse_option(command, body, header.in);
	case RDMA_USER_CM_CMD_MIGRATE_ID:
		return parse_migration(command, body, header.in);
	case RDMA_USER_CM_CMD_GET_EVENT:
		return check_event_room(command);
	default:
		return 0;
	}
}
