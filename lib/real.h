/*
 * The functions of libc that this library stands in for, and those that it
 * needs for itself.
 *
 * REAL(write)(fd, ...) calls the next definition of write() in the dynamic
 * linker's order, which is libc's, or another preloaded library's: it passes on
 * what the program asked for.
 *
 * LIBC(write)(fd, ...) calls libc's own, whatever else is preloaded: it is for
 * what this library does with descriptors of its own accord. With
 * librspreload.so behind us (docs/sockets.md) REAL(socket) makes an rsocket,
 * for which librdmacm opens our devices: from under our own locks that would
 * be the end.
 *
 * All are looked up at once, in the library's constructor or on the first use
 * before it: dlsym() is not safe in a signal handler, so it must not be left to
 * one.
 */
#ifndef FF_REAL_H
#define FF_REAL_H

#include <dirent.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define likely(x)	__builtin_expect(!!(x), 1)
#define unlikely(x)	__builtin_expect(!!(x), 0)

#define REAL_FUNCTIONS(X)						\
	X(open) X(openat) X(fopen) X(freopen) X(opendir)		\
	X(scandir) X(glob)						\
	X(stat) X(lstat) X(fstatat) X(fstat) X(statx)			\
	X(access) X(faccessat) X(euidaccess)				\
	X(readlink) X(readlinkat) X(realpath) X(inotify_add_watch)	\
	X(write) X(ioctl) X(socket) X(accept) X(accept4) X(select)	\
	X(getsockopt) X(setsockopt)					\
	X(close) X(dup) X(dup2) X(dup3) X(fcntl)			\
	X(close_range) X(closefrom)					\
	X(madvise) X(munmap) X(mremap)					\
	X(pthread_exit)

struct real {
#define X(name) __typeof__(&name) name;
	REAL_FUNCTIONS(X)
#undef X
};

/* What librspreload.so, or the like, may stand in for. */
#define LIBC_FUNCTIONS(X)						\
	X(socket) X(connect) X(sendmsg) X(recvmsg) X(recv) X(select)	\
	X(read) X(write) X(poll) X(close) X(fcntl) X(ioctl) X(fstat)

struct libc {
#define X(name) __typeof__(&name) name;
	LIBC_FUNCTIONS(X)
#undef X
};

extern struct real real;
extern struct libc libc;

void real_bind(void);

#define REAL(name) \
	(likely(real.name != NULL) ? real.name : (real_bind(), real.name))
#define LIBC(name) \
	(likely(libc.name != NULL) ? libc.name : (real_bind(), libc.name))

#endif
