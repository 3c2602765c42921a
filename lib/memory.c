#include "memory.h"

#include "env.h"
#include "share.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#define REGISTRATIONS_MAX 65536
#define EXTENTS_MAX ((ROUTER_DATAGRAM_MAX - 1024) / sizeof(struct extent))

/* include/rdma/ib_verbs.h */
enum {
	LOCAL_WRITE = 1 << 0,
	REMOTE_WRITE = 1 << 1,
	REMOTE_ATOMIC = 1 << 3,
	MW_BIND = 1 << 4,
	ON_DEMAND = 1 << 6,
};

pthread_mutex_t memory_lock = PTHREAD_MUTEX_INITIALIZER;
struct pieces pieces;

/*
 * What covers what. A registration holds the pieces within its range that are
 * not younger than itself: those it made or found. A younger one there was made
 * by another, in place of one that the program had unmapped.
 */
static struct record {
	uintptr_t start, end;
	uint64_t number;
	uint32_t handle;
	uint8_t context;
} records[REGISTRATIONS_MAX];
static size_t nrecords;
static uint64_t numbers;

static struct extent extents[EXTENTS_MAX];
static _Atomic bool dontfork_used;

static uint8_t index_of(const struct context *context)
{
	return (uint8_t)(context - contexts);
}

void memory_note_dontfork(void)
{
	dontfork_used = true;
}

/* A request without descriptors, with or without an answer. */
static int call(struct context *context, enum router_op op, const void *bytes, size_t length,
		void *answer, size_t room)
{
	struct iovec body = { (void *)(uintptr_t)bytes, length };
	struct router_reply reply = { .body = answer, .room = room };
	int error;

	pthread_mutex_lock(&context->lock);
	error = context_call(context, op, &body, 1, &reply);
	pthread_mutex_unlock(&context->lock);
	router_close_fds(&reply);
	if (!error && reply.length < room)
		error = EIO;
	return error;
}

static int allocate(struct context *context, uint64_t length, uint64_t *offset)
{
	int error = call(context, ROUTER_MEM_ALLOC, &length, sizeof(length), offset, sizeof(*offset));

	if (!error && *offset % page_size)
		error = EIO;
	return error;
}

static void give_back(struct context *context, uint64_t offset, uint64_t length)
{
	uint64_t request[2] = { offset, length };

	call(context, ROUTER_MEM_FREE, request, sizeof(request), NULL, 0);
}

static void drop_extents(struct context *context, uintptr_t start, uintptr_t end)
{
	uint64_t request[2] = { start, end - start };

	call(context, ROUTER_UNSHARE, request, sizeof(request), NULL, 0);
}

bool memory_shows(const struct piece *piece, struct mapping *mapping)
{
	const struct context *context = &contexts[piece->context];

	if (mapping->inode != context->memory_inode || mapping->device != context->memory_device ||
	    mapping->start >= piece->end || mapping->end <= piece->start ||
	    mapping->offset - mapping->start != piece->offset - piece->start)
		return false;
	if (mapping->start < piece->start) {
		mapping->offset += piece->start - mapping->start;
		mapping->start = piece->start;
	}
	if (mapping->end > piece->end)
		mapping->end = piece->end;
	return true;
}

/* The part of the file that a piece had, back to the router. */
static void free_piece(const struct piece *piece)
{
	if (!piece->lent)
		give_back(&contexts[piece->context], piece->offset, piece->end - piece->start);
}

/* Makes what is left of a piece private. False if some of it stays shared. */
static bool privatise(const struct piece *piece, bool alone)
{
	int file = contexts[piece->context].memory_fd;
	uintptr_t at = piece->start;
	struct mapping mapping;
	bool all = true;
	struct maps maps;

	if (maps_open(&maps) != 0)
		return false;
	while (at < piece->end && maps_find(&maps, at, &mapping) && mapping.start < piece->end) {
		at = mapping.end;
		if (memory_shows(piece, &mapping) &&
		    unshare_pages(file, &mapping, piece->dontfork, alone) != 0)
			all = false;
	}
	maps_close(&maps);
	return all;
}

void memory_forget(uintptr_t start, uintptr_t end)
{
	size_t i;

	if (!pieces_split(&pieces, start) || !pieces_split(&pieces, end))
		return;		/* verification copes with the stale entry */
	while (i = pieces_after(&pieces, start), i < pieces.count && pieces.at[i].start < end) {
		struct piece piece = pieces.at[i];

		pieces_remove(&pieces, i);
		drop_extents(&contexts[piece.context], piece.start, piece.end);
		free_piece(&piece);
	}
}

void memory_reclaim(uintptr_t start, uintptr_t end)
{
	for (size_t i = pieces_after(&pieces, start); i < pieces.count && pieces.at[i].start < end;) {
		struct piece piece = pieces.at[i];

		drop_extents(&contexts[piece.context], piece.start, piece.end);
		if (!privatise(&piece, true)) {
			i++;
			continue;
		}
		pieces_remove(&pieces, i);
		free_piece(&piece);
	}
}

/* One registration less covers the piece at i. Whether the piece is gone. */
static bool let_go(size_t i)
{
	struct piece piece;

	if (pieces.at[i].holders > 0 && --pieces.at[i].holders > 0)
		return false;
	piece = pieces.at[i];
	if (!privatise(&piece, false))
		return false;
	pieces_remove(&pieces, i);
	free_piece(&piece);
	return true;
}

static void let_go_all(const struct record *record)
{
	for (size_t i = pieces_after(&pieces, record->start);
	     i < pieces.count && pieces.at[i].start < record->end;) {
		const struct piece *piece = &pieces.at[i];

		if (piece->context != record->context || piece->born > record->number || !let_go(i))
			i++;
	}
}

/* What the kernel checks when it pins: there, and writable if need be. */
static int check(uintptr_t start, uintptr_t end, uint32_t access)
{
	bool write = access & (LOCAL_WRITE | REMOTE_WRITE | REMOTE_ATOMIC | MW_BIND);
	struct mapping mapping;
	struct maps maps;
	int error = maps_open(&maps);

	if (error)
		return 0;	/* cannot tell */
	while (!error && start < end) {
		if (!maps_find(&maps, start, &mapping) || mapping.start > start ||
		    !mapping.readable || (write && !mapping.writable))
			error = EFAULT;
		start = mapping.end;
	}
	maps_close(&maps);
	return error;
}

static void make_piece(struct registration *registration, const struct mapping *what)
{
	struct context *context = registration->context;
	struct piece piece = {
		.start = what->start, .end = what->end,
		.born = registration->number,
		.context = index_of(context),
		.dontfork = dontfork_used && maps_dontfork(what->start, what->end),
	};
	int error;

	if (pieces.count >= PIECES_MAX || allocate(context, what->end - what->start, &piece.offset) != 0)
		return;
	error = share_pages(context->memory_fd, piece.offset, what, piece.dontfork);
	if (error) {
		debug("registration of %zu bytes stays private: error %d", (size_t)(what->end - what->start), error);
		free_piece(&piece);
		return;
	}
	pieces_insert(&pieces, &piece);
}

/* Plain memory at last: any piece that the table has here is stale. */
static void share_plain(struct registration *registration, const struct mapping *what)
{
	size_t i = pieces_after(&pieces, what->start);

	if (i < pieces.count && pieces.at[i].start < what->end)
		memory_forget(what->start, what->end);
	make_piece(registration, what);
}

static void share_range(struct registration *registration)
{
	uintptr_t at = registration->start;
	struct mapping mapping;
	struct maps maps;

	if (at >= registration->end || maps_open(&maps) != 0)
		return;
	while (at < registration->end && maps_find(&maps, at, &mapping) &&
	       mapping.start < registration->end) {
		uintptr_t end = mapping.end;

		if (mapping.start < at) {
			mapping.offset += at - mapping.start;
			mapping.start = at;
		}
		if (mapping.end > registration->end)
			mapping.end = registration->end;
		if (mapping_is_plain(&mapping))
			share_plain(registration, &mapping);
		at = end;
	}
	maps_close(&maps);
}

static void add_extent(struct registration *registration, const struct mapping *mapping)
{
	struct extent *last = &extents[registration->nextents] - 1;
	uintptr_t end = mapping->end < registration->end ? mapping->end : registration->end;
	struct extent next = { mapping->start, 0, mapping->offset };

	if (next.va < registration->start) {
		next.offset += registration->start - next.va;
		next.va = registration->start;
	}
	if (next.va >= end)
		return;
	next.length = end - next.va;
	if (registration->nextents && last->va + last->length == next.va &&
	    last->offset + last->length == next.offset)
		last->length += next.length;
	else if (registration->nextents < EXTENTS_MAX)
		extents[registration->nextents++] = next;
}

/* Takes hold of the pieces in the range and lists what of them is there. */
static void hold_range(struct registration *registration)
{
	uint8_t context = index_of(registration->context);
	struct maps maps;

	if (maps_open(&maps) != 0)
		return;
	for (size_t i = pieces_after(&pieces, registration->start);
	     i < pieces.count && pieces.at[i].start < registration->end; i++) {
		struct piece *piece = &pieces.at[i];
		uintptr_t at = piece->start;
		struct mapping mapping;

		if (piece->context != context)
			continue;
		piece->holders++;
		while (at < piece->end && maps_find(&maps, at, &mapping) && mapping.start < piece->end) {
			at = mapping.end;
			if (memory_shows(piece, &mapping))
				add_extent(registration, &mapping);
		}
	}
	maps_close(&maps);
}

int memory_register(struct registration *registration, struct context *context,
		    const struct ib_uverbs_reg_mr *request)
{
	uintptr_t start = request->start, end = start + request->length;
	uint32_t access = request->access_flags;
	int error;

	*registration = (struct registration){ .context = context, .extents = extents };
	if ((access & (REMOTE_WRITE | REMOTE_ATOMIC)) && !(access & LOCAL_WRITE))
		return EINVAL;
	if (end < start || end + page_size - 1 < end)
		return EINVAL;
	if (!(access & ON_DEMAND)) {
		uintptr_t first = start & -page_size, last = (end + page_size - 1) & -page_size;

		if (first == last)
			return EINVAL;
		error = check(first, last, access);
		if (error)
			return error;
		registration->start = (start + page_size - 1) & -page_size;
		registration->end = end & -page_size;
	}

	pthread_mutex_lock(&memory_lock);
	registration->number = ++numbers;
	if (registration->start < registration->end && nrecords < REGISTRATIONS_MAX) {
		share_range(registration);
		hold_range(registration);
	} else {
		registration->start = registration->end = 0;
	}
	return 0;
}

void memory_registered(struct registration *registration, int error, uint32_t handle)
{
	struct record record = {
		.start = registration->start, .end = registration->end,
		.number = registration->number,
		.handle = handle,
		.context = index_of(registration->context),
	};

	if (record.start < record.end) {
		if (error)
			let_go_all(&record);
		else
			records[nrecords++] = record;
	}
	pthread_mutex_unlock(&memory_lock);
}

void memory_deregister(struct context *context, uint32_t handle)
{
	pthread_mutex_lock(&memory_lock);
	for (size_t i = nrecords; i-- > 0;) {
		struct record record = records[i];

		if (record.handle != handle || record.context != index_of(context))
			continue;
		records[i] = records[--nrecords];
		let_go_all(&record);
		break;
	}
	pthread_mutex_unlock(&memory_lock);
}

void memory_release_context(struct context *context)
{
	uint8_t index = index_of(context);

	pthread_mutex_lock(&memory_lock);
	for (size_t i = 0; i < nrecords;) {
		if (records[i].context == index)
			records[i] = records[--nrecords];
		else
			i++;
	}
	for (size_t i = 0; i < pieces.count;) {
		struct piece piece = pieces.at[i];

		if (piece.context != index) {
			i++;
			continue;
		}
		drop_extents(context, piece.start, piece.end);
		if (!privatise(&piece, false))
			debug("memory at %#lx stays shared", (unsigned long)piece.start);
		pieces_remove(&pieces, i);
	}
	pthread_mutex_unlock(&memory_lock);
}

void memory_forked(void)
{
	pthread_mutex_init(&memory_lock, NULL);
	while (pieces.count)
		pieces_remove(&pieces, pieces.count - 1);
	nrecords = 0;
}
