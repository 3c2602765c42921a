/*
 * An rdma_cm command as the program wrote it (rdma/rdma_user_cm.h): what the
 * library must know of it to have the router carry it out.
 */
#ifndef FF_UCM_H
#define FF_UCM_H

#include <rdma/rdma_user_cm.h>
#include <stddef.h>
#include <stdint.h>

#define UCM_OPTION_MAX	4096		/* bytes of an option's value */

struct ucm {
	uint32_t number;
	const uint8_t *bytes;		/* header included ... */
	size_t length;			/* ... without what follows the command */
	void *response;			/* where the program wants it, or NULL */
	size_t response_room;
	const void *option;		/* SET_OPTION's value; not looked at yet */
	size_t option_length;
	int old_channel;		/* MIGRATE_ID's descriptor, or -1 */
};

/* 0 or the errno that the kernel gives for such a write. */
int ucm_parse(struct ucm *command, const void *bytes, size_t length);

#endif
