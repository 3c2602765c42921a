/*
 * A library preloaded behind ours, as librspreload.so is: it stands in for the
 * calls on sockets and descriptors, and notes which it was asked.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdarg.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

int shim_calls[2];	/* socket() of another family than INET; others, in all */

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

int socket(int domain, int type, int protocol)
{
	shim_calls[0] += domain != AF_INET;
	return NEXT(socket)(domain, type, protocol);
}

int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	shim_calls[1]++;
	return ((int (*)(int, const struct sockaddr *, socklen_t))dlsym(RTLD_NEXT, "connect"))(fd, address, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	shim_calls[1]++;
	return NEXT(sendmsg)(fd, message, flags);
}

ssize_t recvmsg(int fd, struct msghdr *message, int flags)
{
	shim_calls[1]++;
	return NEXT(recvmsg)(fd, message, flags);
}

ssize_t recv(int fd, void *bytes, size_t length, int flags)
{
	shim_calls[1]++;
	return NEXT(recv)(fd, bytes, length, flags);
}

ssize_t read(int fd, void *bytes, size_t length)
{
	shim_calls[1]++;
	return NEXT(read)(fd, bytes, length);
}

ssize_t write(int fd, const void *bytes, size_t length)
{
	shim_calls[1]++;
	return NEXT(write)(fd, bytes, length);
}

int close(int fd)
{
	shim_calls[1]++;
	return NEXT(close)(fd);
}

int fcntl(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	shim_calls[1]++;
	return NEXT(fcntl)(fd, command, argument);
}
