/*
 * The connection to the router: docs/abi.md, "The socket".
 *
 * A connection carries one request and one reply at a time; whoever calls
 * holds the lock of the context it belongs to, inside a guard (guard.h).
 */
#ifndef FF_ROUTER_H
#define FF_ROUTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define ROUTER_ABI		1
#define ROUTER_DATAGRAM_MAX	(128 * 1024)
#define ROUTER_FDS_MAX		253	/* the kernel's SCM_MAX_FD */

enum router_op {
	ROUTER_OPEN = 1,
	ROUTER_JOIN = 2,
	ROUTER_COMMAND = 3,
	ROUTER_MEM_ALLOC = 4,
	ROUTER_MEM_FREE = 5,
	ROUTER_UNSHARE = 6,
	ROUTER_DOORBELL = 7,
	ROUTER_OPEN_CM = 8,
	ROUTER_CM_COMMAND = 9,
};

struct router {
	int fd;			/* hidden; -1: not connected */
	ino_t inode;		/* of the socket, to know it from another file */
	uint64_t seq;
	bool broken;		/* the router is gone or talks nonsense */
};

struct router_reply {
	void *body;		/* the caller's room ... */
	size_t room;
	size_t length;		/* ... and how much of it was filled */
	int fds[ROUTER_FDS_MAX];
	int nfds;
};

/* 0 or an errno. The descriptor is close-on-exec and not yet hidden. */
int router_connect(struct router *router);

/*
 * Whether the descriptor is still the connection: a program that closes
 * descriptors by raw system calls may have closed it and put another file in
 * its place.
 */
bool router_is_ours(const struct router *router);

/*
 * What open() of a device says when connecting, or the request to open, failed
 * with error; tells the user once what to do about it.
 */
int router_refusal(int error);

/*
 * Sends a request, waits for its reply: 0 or an errno, the router's own or EIO
 * if the connection broke. Descriptors in the reply are the caller's on
 * success; on failure they are closed.
 */
int router_call(struct router *router, enum router_op op,
		const struct iovec *body, int count, struct router_reply *reply);

void router_close_fds(struct router_reply *reply);

#endif
