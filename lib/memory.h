/*
 * Registered memory: docs/abi.md, "COMMAND", "MEM_ALLOC" and what follows.
 *
 * At registration the interior whole pages of private anonymous memory become
 * pieces: mappings of the context's memory file, which the router has too.
 * Everything else is left as it is, and the router reaches it more slowly.
 * Registrations may overlap: a piece lasts as long as one of them covers it,
 * then its pages are made private again.
 *
 * The program goes on owning its address space. It may unmap, move or replace
 * what is registered, through calls we see or do not see, so nothing is done to
 * a range by the table alone: that the pages still are the piece's is read from
 * the kernel's own list of mappings first.
 */
#ifndef FF_MEMORY_H
#define FF_MEMORY_H

#include "context.h"
#include "maps.h"
#include "pieces.h"

#include <rdma/ib_user_verbs.h>

extern pthread_mutex_t memory_lock;
extern struct pieces pieces;

struct extent {
	uint64_t va, length, offset;
};

struct registration {
	struct context *context;
	uintptr_t start, end;		/* the interior whole pages */
	uint64_t number;
	const struct extent *extents;
	uint32_t nextents;
};

/*
 * Before REG_MR: checks what the kernel would check of the mappings, and
 * shares. 0 or an errno. On success memory_lock is held until
 * memory_registered() is told what the router said.
 */
int memory_register(struct registration *registration, struct context *context,
		    const struct ib_uverbs_reg_mr *request);
void memory_registered(struct registration *registration, int error, uint32_t handle);

/* After DEREG_MR. */
void memory_deregister(struct context *context, uint32_t handle);

/* The context ends: all of its pieces become private. */
void memory_release_context(struct context *context);

/*
 * The program unmaps or replaces [start, end), or is about to: the pieces
 * there are pieces no more. The caller holds memory_lock.
 */
void memory_forget(uintptr_t start, uintptr_t end);

/* The program is about to move [start, end): make it private first. The same. */
void memory_reclaim(uintptr_t start, uintptr_t end);

/* The program used MADV_DONTFORK: registrations have to look for it. */
void memory_note_dontfork(void);

/*
 * Whether mapping shows piece's part of the memory file; cuts it to the part
 * that does.
 */
bool memory_shows(const struct piece *piece, struct mapping *mapping);

/* In a forked child, for which fork.c has made everything private. */
void memory_forked(void);

#endif
