/*
 * fork(): the child gets a copy of the program's memory, shared pages or not,
 * and goes on with its parent's contexts on connections of its own.
 *
 * Pieces are shared mappings, so without help the child would write into its
 * parent's memory and see what arrives there. The child therefore replaces
 * them before any of the program's code runs in it: by copies if they are
 * small, while the thread that forked waits, so that it cannot change what is
 * copied; by private mappings of the same file if they are large. Those hide
 * the child's writes from the parent, but not the parent's later writes, nor
 * what peers write, from the child, until it has written to the page itself;
 * and the file's room is not reused while the context lasts.
 */
#include "cm_router.h"
#include "context.h"
#include "memory.h"
#include "orphan.h"
#include "process.h"
#include "share.h"

#include <errno.h>

#define COPY_MAX (16ul << 20)

static struct guard guard;
static int done[2] = { -1, -1 };	/* a pipe: the child has copied */

/* MADV_WIPEONFORK makes it zero in a child. */
static _Atomic pid_t *owner;

void process_own(void)
{
	if (owner)
		*owner = getpid();
}

void process_init(void)
{
	void *page = mmap(NULL, page_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED)
		return;
	REAL(madvise)(page, page_size, MADV_WIPEONFORK);
	owner = page;
	process_own();
}

static size_t total_shared(void)
{
	size_t total = 0;

	for (size_t i = 0; i < pieces.count; i++)
		total += pieces.at[i].end - pieces.at[i].start;
	return total;
}

static void prepare(void)
{
	struct guard entered;

	guard_enter(&entered);
	pthread_mutex_lock(&contexts_lock);
	pthread_mutex_lock(&memory_lock);
	contexts_lock_all();
	for (int i = 0; i < CONTEXTS_MAX; i++)
		contexts[i].forked = contexts[i].open;
	cm_lock();
	fd_lock_hidden();
	guard = entered;

	done[0] = done[1] = -1;
	if (!pieces.count)
		return;
	if (total_shared() <= COPY_MAX) {
		if (pipe2(done, O_CLOEXEC) != 0)
			done[0] = done[1] = -1;
	} else {
		for (size_t i = 0; i < pieces.count; i++)
			pieces.at[i].lent = true;
	}
}

static void parent(void)
{
	char byte;

	if (done[0] >= 0) {
		/* A byte, or the end of file if the child died. */
		LIBC(close)(done[1]);
		while (LIBC(read)(done[0], &byte, 1) < 0 && errno == EINTR)
			;
		LIBC(close)(done[0]);
	}
	fd_unlock_hidden();
	cm_unlock();
	contexts_unlock_all();
	pthread_mutex_unlock(&memory_lock);
	pthread_mutex_unlock(&contexts_lock);

	struct guard leaving = guard;

	guard_leave(&leaving);
}

static void isolate_piece(const struct piece *piece, bool copy)
{
	int file = contexts[piece->context].memory_fd;
	uintptr_t at = piece->start;
	struct mapping mapping;
	struct maps maps;

	if (maps_open(&maps) != 0)
		return;
	while (at < piece->end && maps_find(&maps, at, &mapping) && mapping.start < piece->end) {
		int protection = (mapping.readable ? PROT_READ : 0) | (mapping.writable ? PROT_WRITE : 0) |
				 (mapping.executable ? PROT_EXEC : 0);

		at = mapping.end;
		if (!memory_shows(piece, &mapping))
			continue;
		if (copy && unshare_pages(file, &mapping, piece->dontfork, true) == 0)
			continue;
		mmap((void *)mapping.start, mapping.end - mapping.start, protection,
		     MAP_PRIVATE | MAP_FIXED | MAP_NORESERVE, file, (off_t)mapping.offset);
	}
	maps_close(&maps);
}

static void become_child(void)
{
	bool copy = total_shared() <= COPY_MAX;

	process_own();
	fd_reset_lock();
	pthread_mutex_init(&contexts_lock, NULL);
	for (size_t i = 0; i < pieces.count; i++)
		isolate_piece(&pieces.at[i], copy);
	memory_forked();
	orphan_forked();
	for (int i = 0; i < CONTEXTS_MAX; i++)
		context_forked(&contexts[i]);
	cm_forked();
}

static void child(void)
{
	become_child();
	if (done[0] >= 0) {
		static const char byte;

		while (LIBC(write)(done[1], &byte, 1) < 0 && errno == EINTR)
			;
		LIBC(close)(done[0]);
		LIBC(close)(done[1]);
	}

	struct guard leaving = guard;

	guard_leave(&leaving);
}

bool process_is_owner(void)
{
	pid_t pid;

	if (unlikely(!owner))
		return true;
	pid = *owner;
	if (unlikely(pid == 0)) {
		become_child();
		return true;
	}
	return pid == getpid();
}

__attribute__((constructor)) static void fork_init(void)
{
	pthread_atfork(prepare, parent, child);
}
