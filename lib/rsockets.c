#include "rsockets.h"

#include "real.h"

#include <dlfcn.h>
#include <errno.h>

/* rdma/rsocket.h */
#define SOL_RDMA	0x10000
#define RDMA_SQSIZE	0

/*
 * An rsocket's buffers, of which it makes twice what it is told. With its own
 * default of 128 KiB a sender of large messages waits for its receiver much of
 * the time. /etc/rdma/rsocket/mem_default and wmem_default, and the program's
 * own SO_RCVBUF and SO_SNDBUF, have precedence.
 */
#define RECEIVE_BUFFER	(512 << 10)
#define SEND_BUFFER	(256 << 10)

bool rsockets;
static bool own_receive_buffer, own_send_buffer;

/*
 * librspreload.so looks libc's functions up in some of its calls only, and goes
 * through null pointers in the others if none of those came first (getpeername()
 * is the first thing bash does). One comes first now.
 */
void rsockets_init(void)
{
	rsockets = real.socket != libc.socket && dlsym(RTLD_DEFAULT, "rsocket") != NULL;
	if (!rsockets)
		return;
	REAL(fcntl)(STDIN_FILENO, F_GETFD);
	own_receive_buffer = REAL(access)("/etc/rdma/rsocket/mem_default", F_OK) != 0;
	own_send_buffer = REAL(access)("/etc/rdma/rsocket/wmem_default", F_OK) != 0;
}

/* Those that accept() makes inherit it. */
static void set_buffers(int fd)
{
	int saved = errno, size;
	socklen_t length = sizeof(size);

	/* One of libc's, by rsocket's configuration, has better defaults. */
	if (REAL(getsockopt)(fd, SOL_RDMA, RDMA_SQSIZE, &size, &length) == 0) {
		size = RECEIVE_BUFFER;
		if (own_receive_buffer)
			REAL(setsockopt)(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size));
		size = SEND_BUFFER;
		if (own_send_buffer)
			REAL(setsockopt)(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	}
	errno = saved;
}

int rsockets_set_nonblocking(int fd, bool on)
{
	int flags = REAL(fcntl)(fd, F_GETFL);

	if (flags < 0)
		return -1;
	return REAL(fcntl)(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK) < 0 ? -1 : 0;
}

/* Close-on-exec is a matter of the descriptor, which an rsocket has one of too. */
static int with_flags(int fd, int flags)
{
	if (fd < 0)
		return fd;
	if (((flags & SOCK_CLOEXEC) && LIBC(fcntl)(fd, F_SETFD, FD_CLOEXEC) != 0) ||
	    ((flags & SOCK_NONBLOCK) && rsockets_set_nonblocking(fd, true) != 0)) {
		REAL(close)(fd);
		return -1;
	}
	return fd;
}

/*
 * With flags in its type a stream would be no rsocket. A datagram socket must
 * be none: rsockets address their own queue pair without a GRH, which RoCE
 * refuses. The rest never is one.
 */
int rsockets_socket(int domain, int type, int protocol)
{
	const int flags = SOCK_CLOEXEC | SOCK_NONBLOCK;
	int fd;

	if ((domain != AF_INET && domain != AF_INET6) || (type & ~flags) != SOCK_STREAM)
		return LIBC(socket)(domain, type, protocol);
	fd = with_flags(REAL(socket)(domain, SOCK_STREAM, protocol), type & flags);
	if (fd >= 0)
		set_buffers(fd);
	return fd;
}

EXPORT int accept4(int fd, struct sockaddr *restrict address, socklen_t *restrict length, int flags)
{
	if (likely(!rsockets) || (flags & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)))
		return REAL(accept4)(fd, address, length, flags);
	return with_flags(REAL(accept)(fd, address, length), flags);
}

/* As a way to sleep it fails there for want of descriptors. */
EXPORT int select(int count, fd_set *restrict to_read, fd_set *restrict to_write,
		  fd_set *restrict exceptions, struct timeval *restrict timeout)
{
	if (unlikely(rsockets && count == 0))
		return LIBC(select)(count, to_read, to_write, exceptions, timeout);
	return REAL(select)(count, to_read, to_write, exceptions, timeout);
}
