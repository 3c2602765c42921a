/*
 * A uverbs command as the program wrote it: the two forms of header that
 * rdma/ib_user_verbs.h knows, read into one.
 */
#ifndef FF_COMMAND_H
#define FF_COMMAND_H

#include <rdma/ib_user_verbs.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct command {
	uint32_t number;
	bool extended;
	const uint8_t *bytes;		/* all of it, headers included */
	size_t length;
	const uint8_t *core;		/* the command's own structure; a legacy one
					   begins with the response pointer, if any */
	size_t core_length;
	void *response;			/* where the program wants it, or NULL */
	size_t response_room;
	size_t driver_offset;		/* in an extended response */
};

/* 0 or the errno that the kernel gives for such a write. */
int command_parse(struct command *command, const void *bytes, size_t length);

#endif
