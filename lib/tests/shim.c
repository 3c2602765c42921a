#define _GNU_SOURCE
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

struct shim shim;

#define NEXT(name, type) ((type)dlsym(RTLD_NEXT, #name))

#ifdef WITH_RSOCKET
/* By its name librdmacm is known. */
int rsocket(int domain, int type, int protocol);
int rsocket(int domain, int type, int protocol)
{
	return NEXT(socket, int (*)(int, int, int))(domain, type, protocol);
}
#endif

int socket(int domain, int type, int protocol)
{
	*((domain == AF_INET || domain == AF_INET6) && (type & 0xf) == SOCK_STREAM ?
	  &shim.streams : &shim.other_sockets) += 1;
	shim.type = type;
	return NEXT(socket, int (*)(int, int, int))(domain, type, protocol);
}

int accept(int fd, struct sockaddr *address, socklen_t *length)
{
	shim.accepts++;
	return NEXT(accept, int (*)(int, struct sockaddr *, socklen_t *))(fd, address, length);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	shim.calls++;
	return NEXT(connect, int (*)(int, const struct sockaddr *, socklen_t))(fd, address, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	shim.calls++;
	return NEXT(sendmsg, ssize_t (*)(int, const struct msghdr *, int))(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	shim.calls++;
	return NEXT(recvmsg, ssize_t (*)(int, struct msghdr *, int))(fd, message, flags);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	shim.calls++;
	return NEXT(recv, ssize_t (*)(int, void *, size_t, int))(fd, bytes, length, flags);
}

ssize_t read(int fd, void *bytes, size_t length)
{
	shim.calls++;
	return NEXT(read, ssize_t (*)(int, void *, size_t))(fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	shim.calls++;
	return NEXT(write, ssize_t (*)(int, const void *, size_t))(fd, bytes, length);
}

int close(int fd)
{
	shim.calls++;
	return NEXT(close, int (*)(int))(fd);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	shim.calls++;
	shim.fcntls++;
	return NEXT(fcntl, int (*)(int, int, ...))(fd, command, argument);
}

/* As librspreload.so does with no descriptors. */
int select(int count, fd_set *to_read, fd_set *to_write, fd_set *exceptions, struct timeval *timeout)
{
	if (count == 0) {
		errno = ENOMEM;
		return -1;
	}
	return NEXT(select, int (*)(int, fd_set *, fd_set *, fd_set *, struct timeval *))
		(count, to_read, to_write, exceptions, timeout);
}

int getsockopt(int fd, int level, int name, void *value, socklen_t *length)
{
	if (level == 0x10000)	/* SOL_RDMA */
		return 0;
	return NEXT(getsockopt, int (*)(int, int, int, void *, socklen_t *))(fd, level, name, value, length);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	if (level == SOL_SOCKET && name == SO_RCVBUF)
		shim.receive_buffer = *(const int *)value;
	if (level == SOL_SOCKET && name == SO_SNDBUF)
		shim.send_buffer = *(const int *)value;
	return NEXT(setsockopt, int (*)(int, int, int, const void *, socklen_t))(fd, level, name, value, length);
}
