#include "cm_router.h"

#include "fdtable.h"

#include <errno.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct router router = { .fd = -1 };
static void *buffer;		/* of ROUTER_DATAGRAM_MAX bytes, for replies */

void cm_lock(void)
{
	pthread_mutex_lock(&lock);
}

void cm_unlock(void)
{
	pthread_mutex_unlock(&lock);
}

static int make_buffer(void)
{
	void *room;

	if (buffer)
		return 0;
	room = mmap(NULL, ROUTER_DATAGRAM_MAX, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (room == MAP_FAILED)
		return ENOMEM;
	buffer = room;
	return 0;
}

/* A number that the program has taken is not ours to close. */
static void disconnect(void)
{
	if (router.fd < 0)
		return;
	if (router_is_ours(&router))
		fd_close_hidden(&router.fd);
	else
		fd_forget_hidden(&router.fd);
}

int cm_connect(void)
{
	int error = make_buffer();

	if (error || (!router.broken && router_is_ours(&router)))
		return error;
	disconnect();
	error = router_connect(&router);
	if (!error)
		fd_hide(&router.fd);
	return error;
}

int cm_call(enum router_op op, const struct iovec *body, int count, struct router_reply *reply)
{
	*reply = (struct router_reply){ .body = buffer, .room = ROUTER_DATAGRAM_MAX };
	return router_call(&router, op, body, count, reply);
}

void cm_forked(void)
{
	pthread_mutex_init(&lock, NULL);
	disconnect();
}
