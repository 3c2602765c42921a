#include "command.h"

#include <errno.h>
#include <string.h>

/* Legacy commands that begin with no response pointer. */
static bool has_response(uint32_t number)
{
	switch (number) {
	case IB_USER_VERBS_CMD_DEALLOC_PD:
	case IB_USER_VERBS_CMD_DESTROY_AH:
	case IB_USER_VERBS_CMD_DEREG_MR:
	case IB_USER_VERBS_CMD_DEALLOC_MW:
	case IB_USER_VERBS_CMD_REQ_NOTIFY_CQ:
	case IB_USER_VERBS_CMD_MODIFY_QP:
	case IB_USER_VERBS_CMD_MODIFY_SRQ:
	case IB_USER_VERBS_CMD_ATTACH_MCAST:
	case IB_USER_VERBS_CMD_DETACH_MCAST:
	case IB_USER_VERBS_CMD_CLOSE_XRCD:
		return false;
	default:
		return true;
	}
}

static int parse_legacy(struct command *command, const struct ib_uverbs_cmd_hdr *header)
{
	uint64_t response;

	if (header->in_words * 4u != command->length)
		return EINVAL;
	command->core = command->bytes + sizeof(*header);
	command->core_length = command->length - sizeof(*header);
	if (!has_response(command->number) || header->out_words == 0)
		return 0;
	if (command->core_length < sizeof(response))
		return ENOSPC;
	memcpy(&response, command->core, sizeof(response));
	command->response = (void *)(uintptr_t)response;
	command->response_room = header->out_words * 4u;
	return 0;
}

static int parse_extended(struct command *command, const struct ib_uverbs_cmd_hdr *header)
{
	const size_t headers = sizeof(*header) + sizeof(struct ib_uverbs_ex_cmd_hdr);
	struct ib_uverbs_ex_cmd_hdr more;

	if (command->length < headers)
		return EINVAL;
	memcpy(&more, command->bytes + sizeof(*header), sizeof(more));
	if ((header->in_words + more.provider_in_words) * 8u != command->length - headers)
		return EINVAL;
	if (more.cmd_hdr_reserved)
		return EINVAL;
	command->core = command->bytes + headers;
	command->core_length = header->in_words * 8u;
	command->driver_offset = header->out_words * 8u;
	command->response_room = (header->out_words + more.provider_out_words) * 8u;
	command->response = (void *)(uintptr_t)more.response;
	if (!command->response != !command->response_room)
		return EINVAL;
	return 0;
}

int command_parse(struct command *command, const void *bytes, size_t length)
{
	struct ib_uverbs_cmd_hdr header;

	memset(command, 0, sizeof(*command));
	if (length < sizeof(header))
		return EINVAL;
	memcpy(&header, bytes, sizeof(header));
	command->bytes = bytes;
	command->length = length;
	command->number = header.command & IB_USER_VERBS_CMD_COMMAND_MASK;
	command->extended = header.command & IB_USER_VERBS_CMD_FLAG_EXTENDED;
	if (header.command & ~(IB_USER_VERBS_CMD_COMMAND_MASK | IB_USER_VERBS_CMD_FLAG_EXTENDED))
		return EINVAL;
	return command->extended ? parse_extended(command, &header) : parse_legacy(command, &header);
}
