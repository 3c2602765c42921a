/*
 * What the tests and the mock router (mockrouter.c) agree on beyond
 * docs/abi.md: commands with numbers that uverbs does not have, by which a test
 * asks the mock what it saw or has it act. Each takes four numbers and answers
 * four.
 */
#ifndef MOCK_H
#define MOCK_H

#include <rdma/ib_user_verbs.h>
#include <stdint.h>

enum mock_number {
	MOCK_STATS = 0xe0,	/* -> connections, joins, bytes allocated, unshares */
	MOCK_EXTENTS = 0xe1,	/* mr handle -> extents, bytes in them */
	MOCK_PEEK = 0xe2,	/* mr handle, address -> byte, 1 if through an extent */
	MOCK_POKE = 0xe3,	/* mr handle, address, byte -> -, 1 if through an extent */
	MOCK_EVENT = 0xe4,	/* cq handle: a completion event */
	MOCK_BELLS = 0xe5,	/* -> first QP bits word, first summary word, wake-ups */
	MOCK_ARMED = 0xe6,	/* cq handle -> its cq_arm word */
	MOCK_FAIL_ALLOC = 0xe7,	/* 1: MEM_ALLOC fails from now on, 0: it works */
	MOCK_LONG = 0xe8,	/* answers with more bytes than there is room for */
	MOCK_EXTRA_FDS = 0xe9,	/* answers with descriptors nobody asked for */
	MOCK_POLL = 0xea,	/* sets the doorbell file's poll word */
	MOCK_DIE_NEXT = 0xeb,	/* the router kills itself on the next request */
	MOCK_SLOW = 0xec,	/* microseconds to wait before the answer */
	MOCK_PID = 0xed,	/* -> the router's process id */
};

struct mock_request {
	struct ib_uverbs_cmd_hdr header;
	uint64_t response;
	uint64_t argument[4];
};

struct mock_response {
	uint64_t value[4];
};

/*
 * The rdma_cm device of the mock (mockcm.c) has no connections: events are
 * numbers, and commands do what a test needs.
 *
 *   CREATE_ID	-> id: how many were made on the channel
 *   GET_EVENT	-> uid: the event's number; EAGAIN if none waits
 *   DESTROY_ID	withdraws as many events as id says -> how many those were
 *   MIGRATE_ID	moves so many from the old channel -> how many those were
 *   NOTIFY	fails with the errno that event says
 *   SET_OPTION	nothing
 *   QUERY	one of the following by its option, with its id as argument
 */
enum mock_cm_option {
	MOCK_CM_LAST = 0x100,	/* -> the body of the CM_COMMAND before this one */
	MOCK_CM_POST,		/* so many events */
	MOCK_CM_POST_LATER,	/* one event, after so many milliseconds */
	MOCK_CM_FALSE_TOKEN,	/* a token without an event */
	MOCK_CM_LONG,		/* -> more bytes than there is room for: 0x5a */
	MOCK_CM_STATS,		/* -> struct mock_cm_stats */
	MOCK_CM_SLOW,		/* so many microseconds -> the argument, u32 */
	MOCK_CM_DIE_NEXT,	/* the router kills itself on the next request */
};

struct mock_cm_stats {
	uint32_t channels;	/* that some process holds open */
	uint32_t connections;	/* to the router, of all kinds */
	uint32_t waiting;	/* events on the channel asked about */
	uint32_t pid;		/* the router's */
	uint32_t stray;		/* messages that came in by channels' own sockets */
};

#endif
