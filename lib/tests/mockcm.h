/*
 * The mock router's rdma_cm device: docs/abi.md's OPEN_CM and CM_COMMAND, with
 * the commands of mock.h behind them.
 */
#ifndef MOCKCM_H
#define MOCKCM_H

#include <stdbool.h>
#include <stdint.h>

struct mockcm_answer {
	uint8_t *bytes;			/* room for the response ... */
	uint32_t length;		/* ... and how much of it was filled */
	uint32_t tokens;
	uint32_t connections;		/* for MOCK_CM_STATS */
	bool die_next;
};

/* A new channel: 0 or an errno. The descriptor is the caller's to close. */
int mockcm_open(uint64_t *inode, int *program_end);

/* The body of a CM_COMMAND: 0 or an errno. */
int mockcm_command(const uint8_t *body, uint32_t length, struct mockcm_answer *answer);

/* Sends what is due; milliseconds until there is more, -1 if there is none. */
int mockcm_tick(void);

#endif
