#include "router.h"

#include "env.h"
#include "real.h"

#include <errno.h>
#include <string.h>
#include <sys/un.h>

#define BODY_PARTS_MAX 6

struct request_header {
	uint32_t op;
	uint32_t length;
	uint64_t seq;
};

struct reply_header {
	uint32_t op;
	uint32_t length;
	int32_t error;
	uint32_t seq;
};

_Static_assert(sizeof(struct request_header) == 16, "docs/abi.md");
_Static_assert(sizeof(struct reply_header) == 16, "docs/abi.md");

/*
 * A socket's address has room for 107 bytes of path. A longer one is reached
 * through a descriptor of its directory.
 */
static int socket_address(struct sockaddr_un *address, int *directory)
{
	const char *slash = strrchr(env.socket, '/');
	char parent[PATH_MAX];

	memset(address, 0, sizeof(*address));
	address->sun_family = AF_UNIX;
	*directory = -1;
	if (strlen(env.socket) < sizeof(address->sun_path)) {
		strcpy(address->sun_path, env.socket);
		return 0;
	}

	memcpy(parent, env.socket, (size_t)(slash - env.socket));
	parent[slash - env.socket] = '\0';
	*directory = REAL(openat)(AT_FDCWD, parent, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (*directory < 0)
		return errno;
	snprintf(address->sun_path, sizeof(address->sun_path), "/proc/self/fd/%d%s", *directory, slash);
	return 0;
}

int router_connect(struct router *router)
{
	struct sockaddr_un address;
	struct stat status;
	int directory, error, fd;

	error = socket_address(&address, &directory);
	if (error)
		return error;

	fd = LIBC(socket)(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	if (fd < 0 || LIBC(connect)(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    LIBC(fstat)(fd, &status) != 0) {
		error = errno;
		if (fd >= 0)
			LIBC(close)(fd);
		fd = -1;
	}
	if (directory >= 0)
		LIBC(close)(directory);
	if (error)
		return error;

	router->fd = fd;
	router->inode = status.st_ino;
	router->seq = 0;
	router->broken = false;
	return 0;
}

/* One line a process, of use to whoever forgot to start the router. */
static void explain(int error)
{
	static _Atomic bool explained;

	if (explained)
		return;
	explained = true;
	if (error == EACCES || error == EPERM)
		complain("not allowed to use the router at %s: %s; start the program with `freeflow run`",
			 env.socket, strerror(error));
	else
		complain("router is not running (%s: %s): start it with `freeflow up`",
			 env.socket, strerror(error));
}

/* A device without its driver is no device. */
int router_refusal(int error)
{
	switch (error) {
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return error;
	case EOPNOTSUPP:
		return ENODEV;
	}
	explain(error);
	return error == EACCES || error == EPERM ? EACCES : ENODEV;
}

void router_close_fds(struct router_reply *reply)
{
	for (int i = 0; i < reply->nfds; i++)
		if (reply->fds[i] >= 0)
			LIBC(close)(reply->fds[i]);
	reply->nfds = 0;
}

bool router_is_ours(const struct router *router)
{
	struct stat status;

	return router->fd >= 0 && LIBC(fstat)(router->fd, &status) == 0 &&
	       S_ISSOCK(status.st_mode) && status.st_ino == router->inode;
}

static int send_request(struct router *router, enum router_op op, const struct iovec *body, int count)
{
	struct request_header header = { .op = op, .seq = ++router->seq };
	struct iovec parts[BODY_PARTS_MAX + 1] = { { &header, sizeof(header) } };
	struct msghdr message = { .msg_iov = parts, .msg_iovlen = (size_t)count + 1 };
	size_t length = 0;
	ssize_t sent;

	for (int i = 0; i < count; i++) {
		parts[i + 1] = body[i];
		length += body[i].iov_len;
	}
	if (length + sizeof(header) > ROUTER_DATAGRAM_MAX)
		return EINVAL;
	header.length = (uint32_t)length;

	do
		sent = LIBC(sendmsg)(router->fd, &message, MSG_NOSIGNAL);
	while (sent < 0 && errno == EINTR);
	if (sent < 0 && errno == EFAULT)
		return EFAULT;		/* the program's own pointer; nothing was sent */
	if (sent < 0)
		router->broken = true;
	return sent < 0 ? EIO : 0;
}

static void take_fds(struct msghdr *message, struct router_reply *reply)
{
	for (struct cmsghdr *c = CMSG_FIRSTHDR(message); c; c = CMSG_NXTHDR(message, c)) {
		size_t bytes = c->cmsg_len - CMSG_LEN(0);

		if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
			continue;
		for (size_t i = 0; i < bytes / sizeof(int); i++) {
			int fd;

			memcpy(&fd, CMSG_DATA(c) + i * sizeof(int), sizeof(fd));
			if (reply->nfds < ROUTER_FDS_MAX)
				reply->fds[reply->nfds++] = fd;
			else
				LIBC(close)(fd);
		}
	}
}

static int receive_reply(struct router *router, enum router_op op, struct router_reply *reply)
{
	union {
		struct cmsghdr align;
		char bytes[CMSG_SPACE(ROUTER_FDS_MAX * sizeof(int))];
	} control;
	struct reply_header header;
	struct iovec parts[2] = { { &header, sizeof(header) }, { reply->body, reply->room } };
	struct msghdr message = {
		.msg_iov = parts, .msg_iovlen = 2,
		.msg_control = &control, .msg_controllen = sizeof(control),
	};
	ssize_t got;

	reply->nfds = 0;
	reply->length = 0;
	do
		got = LIBC(recvmsg)(router->fd, &message, MSG_CMSG_CLOEXEC);
	while (got < 0 && errno == EINTR);
	if (got > 0)
		take_fds(&message, reply);

	if (got < (ssize_t)sizeof(header) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) ||
	    header.op != (uint32_t)op || header.seq != (uint32_t)router->seq ||
	    header.length != (size_t)got - sizeof(header) || header.error < 0) {
		router->broken = true;
		router_close_fds(reply);
		return EIO;
	}
	reply->length = header.length;
	if (header.error)
		router_close_fds(reply);
	return header.error;
}

int router_call(struct router *router, enum router_op op,
		const struct iovec *body, int count, struct router_reply *reply)
{
	int error;

	reply->nfds = 0;
	reply->length = 0;
	if (router->broken || !router_is_ours(router)) {
		router->broken = true;
		return EIO;
	}
	error = send_request(router, op, body, count);
	if (error)
		return error;
	return receive_reply(router, op, reply);
}
