#include "share.h"

#include "freeze.h"
#include "real.h"

#include <errno.h>
#include <sys/syscall.h>

/* Up to here registration also maps what it copied, as pinning would. */
#define POPULATE_MAX (64ul << 20)

/* Copies go in steps that stay in the cache: twice as fast as all at once. */
#define STEP (64ul << 10)

static int protection(const struct mapping *mapping)
{
	return (mapping->readable ? PROT_READ : 0) | (mapping->writable ? PROT_WRITE : 0) |
	       (mapping->executable ? PROT_EXEC : 0);
}

struct copy {
	int file;
	uintptr_t start;
	uint64_t offset;
	size_t copied;
};

/*
 * The program may have freed what it registered, or never written it. That is
 * no business of a sanitizer that watches pread() and pwrite(): these pass by
 * it, as a kernel's accesses do.
 */
static ssize_t read_at(int file, void *to, size_t length, uint64_t offset)
{
	return syscall(SYS_pread64, file, to, length, offset);
}

static ssize_t write_at(int file, const void *from, size_t length, uint64_t offset)
{
	return syscall(SYS_pwrite64, file, from, length, offset);
}

/*
 * The kernel copies: a page that goes away meanwhile (another thread's
 * MADV_DONTNEED) reads as zeros then, as it does to the program.
 */
static int copy_to_file(uintptr_t start, uintptr_t end, void *argument)
{
	struct copy *copy = argument;

	while (start < end) {
		size_t step = end - start < STEP ? end - start : STEP;
		ssize_t n = write_at(copy->file, (void *)start, step,
				     copy->offset + (start - copy->start));

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? errno : EIO;
		start += (size_t)n;
		copy->copied += (size_t)n;
	}
	return 0;
}

int share_pages(int file, uint64_t offset, const struct mapping *what, bool dontfork)
{
	struct copy copy = { file, what->start, offset, 0 };
	void *start = (void *)what->start;
	size_t length = what->end - what->start;
	struct freeze freeze;
	int error;

	freeze_begin(&freeze, start, length);
	error = pages_visit(what->start, what->end, copy_to_file, &copy);
	if (!error && mmap(start, length, protection(what), MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
			   file, (off_t)offset) == MAP_FAILED)
		error = errno;
	freeze_end(&freeze);
	if (error)
		return error;

	if (dontfork)
		REAL(madvise)(start, length, MADV_DONTFORK);
#ifdef MADV_POPULATE_WRITE
	if (copy.copied == length && length <= POPULATE_MAX)
		REAL(madvise)(start, length, MADV_POPULATE_WRITE);
#endif
	return 0;
}

/* Reads those parts of the file that hold data. */
static int copy_from_file(int file, uint64_t offset, char *to, size_t length)
{
	off_t at = (off_t)offset, end = at + (off_t)length;

	for (;;) {
		off_t data = lseek(file, at, SEEK_DATA), hole;

		if (data < 0 && errno != ENXIO)
			data = at;		/* cannot tell: read all */
		else if (data < 0 || data >= end)
			return 0;
		hole = lseek(file, data, SEEK_HOLE);
		if (hole <= data || hole > end)
			hole = end;
		for (at = data; at < hole;) {
			size_t step = (size_t)(hole - at) < STEP ? (size_t)(hole - at) : STEP;
			ssize_t n = read_at(file, to + ((uint64_t)at - offset), step, (uint64_t)at);

			if (n < 0 && errno == EINTR)
				continue;
			if (n <= 0)
				return n < 0 ? errno : EIO;
			at += n;
		}
		if (at >= end)
			return 0;
	}
}

static int finish(void *start, size_t length, int prot, bool dontfork)
{
	if (prot != (PROT_READ | PROT_WRITE))
		mprotect(start, length, prot);
	if (dontfork)
		REAL(madvise)(start, length, MADV_DONTFORK);
	return 0;
}

/*
 * In place: the new memory merges with its neighbours, so that a program that
 * registers all over its heap does not end with a mapping a buffer.
 */
static int unshare_in_place(int file, const struct mapping *what, bool dontfork)
{
	void *start = (void *)what->start;
	size_t length = what->end - what->start;
	int error;

	if (mmap(start, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		 -1, 0) == MAP_FAILED)
		return errno;
	error = copy_from_file(file, what->offset, start, length);
	if (error) {
		mmap(start, length, protection(what), MAP_SHARED | MAP_FIXED | MAP_NORESERVE,
		     file, (off_t)what->offset);
		return error;
	}
	return finish(start, length, protection(what), dontfork);
}

/* Aside, then moved over in one step, for those who look meanwhile. */
static int unshare_aside(int file, const struct mapping *what, bool dontfork)
{
	void *start = (void *)what->start;
	size_t length = what->end - what->start;
	struct freeze freeze;
	void *aside;
	int error;

	aside = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (aside == MAP_FAILED)
		return errno;
	freeze_begin(&freeze, start, length);
	error = copy_from_file(file, what->offset, aside, length);
	if (!error && protection(what) != (PROT_READ | PROT_WRITE))
		mprotect(aside, length, protection(what));
	if (!error && REAL(mremap)(aside, length, length, MREMAP_MAYMOVE | MREMAP_FIXED, start) == MAP_FAILED)
		error = errno;
	freeze_end(&freeze);
	if (error) {
		REAL(munmap)(aside, length);
		return error;
	}
	if (dontfork)
		REAL(madvise)(start, length, MADV_DONTFORK);
	return 0;
}

int unshare_pages(int file, const struct mapping *what, bool dontfork, bool alone)
{
	if (alone || !threads_exist())
		return unshare_in_place(file, what, dontfork);
	return unshare_aside(file, what, dontfork);
}
