/*
 * madvise(), munmap() and mremap(), as far as they concern pieces. Allocators
 * call these often: without a piece near, each costs two loads more.
 */
#include "memory.h"

#include <errno.h>
#include <stdarg.h>

static bool overlap(uintptr_t start, uintptr_t end)
{
	size_t i = pieces_after(&pieces, start);

	return i < pieces.count && pieces.at[i].start < end;
}

static uintptr_t page_up(uintptr_t address)
{
	return (address + page_size - 1) & -page_size;
}

/*
 * Private anonymous memory reads as zeros after MADV_DONTNEED; a mapping of a
 * file needs the file's own pages removed. MADV_FREE may as well do nothing.
 */
static int advise_shared(uintptr_t start, uintptr_t end, int advice)
{
	if (advice == MADV_FREE)
		return 0;
	return REAL(madvise)((void *)start, end - start, MADV_REMOVE);
}

/* The parts of [start, end) that are pieces one way, the others natively. */
static int advise_by_parts(uintptr_t start, uintptr_t end, int advice)
{
	struct mapping mapping;
	struct maps maps;
	int result = 0;

	if (maps_open(&maps) != 0)
		return -1;
	while (result == 0 && start < end) {
		size_t i = pieces_after(&pieces, start);
		bool inside = i < pieces.count && pieces.at[i].start <= start;
		uintptr_t stop = end;

		if (inside && pieces.at[i].end < stop)
			stop = pieces.at[i].end;
		if (!inside && i < pieces.count && pieces.at[i].start < stop)
			stop = pieces.at[i].start;

		if (inside && maps_find(&maps, start, &mapping) && memory_shows(&pieces.at[i], &mapping) &&
		    mapping.start <= start) {
			if (mapping.end < stop)
				stop = mapping.end;
			result = advise_shared(start, stop, advice);
		} else {
			result = REAL(madvise)((void *)start, stop - start, advice);
		}
		start = stop;
	}
	maps_close(&maps);
	return result;
}

EXPORT int madvise(void *address, size_t length, int advice)
{
	uintptr_t start = (uintptr_t)address, end = page_up(start + length);
	struct guard guard;
	int result;

	if (unlikely(advice == MADV_DONTFORK))
		memory_note_dontfork();
	if (likely(!pieces_near(&pieces, start, end)) || start % page_size ||
	    (advice != MADV_DONTNEED && advice != MADV_FREE))
		return REAL(madvise)(address, length, advice);

	guard_enter(&guard);
	pthread_mutex_lock(&memory_lock);
	result = advise_by_parts(start, end, advice);
	if (result != 0)
		guard.saved_errno = errno;
	pthread_mutex_unlock(&memory_lock);
	guard_leave(&guard);
	return result;
}

/* The extents go first: what the program has unmapped is not to be reached. */
EXPORT int munmap(void *address, size_t length)
{
	uintptr_t start = (uintptr_t)address, end = page_up(start + length);
	struct guard guard;
	int result;

	if (likely(!pieces_near(&pieces, start, end)) || start % page_size || end <= start)
		return REAL(munmap)(address, length);

	guard_enter(&guard);
	pthread_mutex_lock(&memory_lock);
	memory_forget(start, end);
	result = REAL(munmap)(address, length);
	if (result != 0)
		guard.saved_errno = errno;
	pthread_mutex_unlock(&memory_lock);
	guard_leave(&guard);
	return result;
}

/*
 * Growing or moving a mapping of the file would show what lies behind in the
 * file, or run past its end. So the memory is private again before it moves.
 */
EXPORT void *mremap(void *old, size_t old_length, size_t new_length, int flags, ...)
{
	uintptr_t start = (uintptr_t)old, end = page_up(start + old_length);
	void *to = NULL, *result;
	struct guard guard;

	if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
		va_list args;

		va_start(args, flags);
		to = va_arg(args, void *);
		va_end(args);
	}
	if (likely(!pieces_near(&pieces, start, end)) &&
	    (!(flags & MREMAP_FIXED) ||
	     !pieces_near(&pieces, (uintptr_t)to, page_up((uintptr_t)to + new_length))))
		return REAL(mremap)(old, old_length, new_length, flags, to);

	guard_enter(&guard);
	pthread_mutex_lock(&memory_lock);
	if (overlap(start, end))
		memory_reclaim(start, end);
	if (flags & MREMAP_FIXED)
		memory_forget((uintptr_t)to, page_up((uintptr_t)to + new_length));
	result = REAL(mremap)(old, old_length, new_length, flags, to);
	if (result == MAP_FAILED)
		guard.saved_errno = errno;
	pthread_mutex_unlock(&memory_lock);
	guard_leave(&guard);
	return result;
}
