#include "reach.h"

#include "maps.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef MADV_POPULATE_READ
#define MADV_POPULATE_READ	22
#define MADV_POPULATE_WRITE	23
#endif

/*
 * Has the kernel fault the pages in, as touching them would, without changing
 * them. The system call itself: libc's madvise() is for the program's memory.
 */
static int populate(uintptr_t start, uintptr_t end, int advice)
{
	return syscall(SYS_madvise, start, end - start, advice) == 0 ? 0 : errno;
}

/* EINVAL is the answer for pages without the permission, and of old kernels. */
static bool kernel_tells(void)
{
	static _Atomic int known;	/* 1: it does; -1: it does not */

	if (known == 0) {
		uintptr_t page = (uintptr_t)&known & -page_size;

		known = populate(page, page + page_size, MADV_POPULATE_READ) == EINVAL ? -1 : 1;
	}
	return known > 0;
}

static bool can(const void *start, size_t length, int advice)
{
	uintptr_t first = (uintptr_t)start & -page_size;
	uintptr_t end = ((uintptr_t)start + length + page_size - 1) & -page_size;
	int saved = errno, error;

	if (length == 0)
		return true;
	if (end <= first)
		return false;
	error = populate(first, end, advice);
	if (error == EINVAL)
		error = kernel_tells() ? EFAULT : 0;
	errno = saved;
	return error != ENOMEM && error != EFAULT && error != EHWPOISON;
}

bool can_read(const void *start, size_t length)
{
	return can(start, length, MADV_POPULATE_READ);
}

bool can_write(const void *start, size_t length)
{
	return can(start, length, MADV_POPULATE_WRITE);
}
