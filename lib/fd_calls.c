/*
 * The calls on descriptors. For one that is not ours each is libc's own after
 * a look into fd_table.
 */
#include "channel.h"
#include "cm.h"
#include "context.h"
#include "doorbell.h"
#include "env.h"
#include "process.h"
#include "rsockets.h"
#include "uverbs.h"

#include <errno.h>
#include <linux/close_range.h>
#include <linux/netlink.h>
#include <stdarg.h>

#ifndef NETLINK_RDMA
#define NETLINK_RDMA 20
#endif

EXPORT ssize_t write(int fd, const void *bytes, size_t length)
{
	struct context *context = context_of(fd);
	struct ib_uverbs_req_notify_cq arm;
	uint32_t qp_handle;
	int error;

	if (likely(!context)) {
		if (unlikely(fd_entry(fd) == FD_CM))
			return cm_write(fd, bytes, length);
		return REAL(write)(fd, bytes, length);
	}
	if (likely(is_doorbell(bytes, length, &qp_handle)))
		error = doorbell_ring(context, qp_handle);
	else if (likely(is_arm(bytes, length, &arm)))
		error = doorbell_arm(context, arm.cq_handle, arm.solicited_only);
	else if (!process_is_owner() || !context_owns(context, fd))
		return REAL(write)(fd, bytes, length);
	else
		return uverbs_write(context, bytes, length);
	if (likely(!error))
		return (ssize_t)length;
	errno = error;
	return -1;
}

/* What the kernel does with any file, without asking its driver. */
static bool is_generic(unsigned long request)
{
	return request == FIOCLEX || request == FIONCLEX || request == FIONBIO || request == FIOASYNC;
}

/* rdma-core takes ENOTTY for a kernel that knows only the write() commands. */
EXPORT int ioctl(int fd, unsigned long request, ...)
{
	struct context *context = context_of(fd);
	va_list args;
	void *argument;

	va_start(args, request);
	argument = va_arg(args, void *);
	va_end(args);
	if (unlikely(context || fd_entry(fd) == FD_CM) && !is_generic(request) &&
	    (context ? context_owns(context, fd) : channel_owns(fd))) {
		errno = ENOTTY;
		return -1;
	}
	if (unlikely(rsockets && request == FIONBIO && argument))
		return rsockets_set_nonblocking(fd, *(int *)argument);
	return REAL(ioctl)(fd, request, argument);
}

/* Without it rdma-core reads sysfs, which is ours. */
EXPORT int socket(int domain, int type, int protocol)
{
	if (unlikely(domain == AF_NETLINK && protocol == NETLINK_RDMA && env.root)) {
		errno = EPROTONOSUPPORT;
		return -1;
	}
	if (unlikely(rsockets))
		return rsockets_socket(domain, type, protocol);
	return REAL(socket)(domain, type, protocol);
}

EXPORT int close(int fd)
{
	uint8_t entry = fd_entry(fd);

	if (likely(entry == 0) || !process_is_owner())
		return REAL(close)(fd);
	if (entry == FD_HIDDEN) {
		errno = EBADF;
		return -1;
	}
	/* The entry first: once closed, the number may be another thread's. */
	entry = fd_exchange(fd, 0);
	int result = REAL(close)(fd), saved = errno;

	context_drop(entry);
	errno = saved;
	return result;
}

/* A duplicate of a visible descriptor is one more. */
static int duplicated(int from, int to)
{
	uint8_t entry = fd_entry(from);

	if (likely(entry == 0 && fd_entry(to) == 0) || to < 0 || !process_is_owner())
		return to;
	if (entry == FD_CM && channel_owns(from))
		channel_duplicated(from, to);
	else if (context_of(from) && context_owns(context_of(from), from))
		context_add(context_of(from), to);
	else
		context_drop(fd_exchange(to, 0));
	return to;
}

/* What the program may not know of does not exist for it. */
static bool refuse_hidden(int fd)
{
	if (likely(fd_entry(fd) != FD_HIDDEN) || !process_is_owner())
		return false;
	errno = EBADF;
	return true;
}

EXPORT int dup(int fd)
{
	if (refuse_hidden(fd))
		return -1;
	return duplicated(fd, REAL(dup)(fd));
}

EXPORT int dup2(int from, int to)
{
	if (refuse_hidden(from))
		return -1;
	if (likely(fd_entry(from) == 0 && fd_entry(to) == 0) || from == to || !process_is_owner())
		return REAL(dup2)(from, to);
	if (fd_entry(to) == FD_HIDDEN)
		context_vacate(to);
	return duplicated(from, REAL(dup2)(from, to));
}

EXPORT int dup3(int from, int to, int flags)
{
	if (refuse_hidden(from))
		return -1;
	if (likely(fd_entry(from) == 0 && fd_entry(to) == 0) || from == to || !process_is_owner())
		return REAL(dup3)(from, to, flags);
	if (fd_entry(to) == FD_HIDDEN)
		context_vacate(to);
	return duplicated(from, REAL(dup3)(from, to, flags));
}

static int control(int fd, int command, void *argument)
{
	int result;

	if (refuse_hidden(fd))
		return -1;
	result = REAL(fcntl)(fd, command, argument);
	if (command == F_DUPFD || command == F_DUPFD_CLOEXEC)
		return duplicated(fd, result);
	return result;
}

EXPORT int fcntl(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	return control(fd, command, argument);
}

EXPORT int fcntl64(int fd, int command, ...)
{
	va_list args;
	void *argument;

	va_start(args, command);
	argument = va_arg(args, void *);
	va_end(args);
	return control(fd, command, argument);
}

/* Closes all in [first, last] but the hidden ones. */
static int sweep(unsigned int first, unsigned int last, int flags)
{
	while (first <= last) {
		int spare = first < FD_MAX ? fd_next_hidden((int)first) : -1;
		unsigned int stop = spare >= 0 && (unsigned int)spare <= last ? (unsigned int)spare : last;

		if (spare >= 0 && stop == (unsigned int)spare) {
			if (stop > first && REAL(close_range)(first, stop - 1, flags) != 0)
				return -1;
		} else if (REAL(close_range)(first, last, flags) != 0) {
			return -1;
		}
		if (stop == ~0u)
			break;
		first = stop + 1;
	}
	return 0;
}

/* The visible descriptors in a range that was closed. */
static void drop_range(unsigned int first, unsigned int last)
{
	for (int fd; (fd = fd_next_known(first, last)) >= 0; first = (unsigned int)fd + 1)
		if (fd_entry(fd) != FD_HIDDEN)
			context_drop(fd_exchange(fd, 0));
}

EXPORT int close_range(unsigned int first, unsigned int last, int flags)
{
	int result, saved;

	if (likely(fd_next_known(first, last) < 0) || first > last || !process_is_owner())
		return REAL(close_range)(first, last, flags);
	result = sweep(first, last, flags);
	saved = errno;
	if (result == 0 && !(flags & CLOSE_RANGE_CLOEXEC))
		drop_range(first, last);
	errno = saved;
	return result;
}

EXPORT void closefrom(int first)
{
	unsigned int from = first < 0 ? 0 : (unsigned int)first;
	int saved = errno;

	if (likely(fd_next_known(from, ~0u) < 0) || !process_is_owner()) {
		REAL(closefrom)(first);
		return;
	}
	if (sweep(from, ~0u, 0) == 0)
		drop_range(from, ~0u);
	errno = saved;
}
