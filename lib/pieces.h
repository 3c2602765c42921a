/*
 * The table of pieces: which ranges of this process' memory have been turned
 * into mappings of a context's memory file. Sorted, without overlap.
 *
 * Pure bookkeeping; the caller holds memory_lock. Only pieces_near() is for
 * everybody: munmap() and madvise() ask it on each call, without the lock.
 */
#ifndef FF_PIECES_H
#define FF_PIECES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/*
 * A piece costs up to two of the 65530 mappings the kernel allows a process;
 * most of them must be left to the program.
 */
#define PIECES_MAX 16384

struct piece {
	uintptr_t start, end;
	uint64_t offset;	/* of start, in the memory file */
	uint64_t born;		/* the registration that made it: see memory.c */
	uint32_t holders;	/* registrations that cover it */
	uint8_t context;	/* index */
	bool dontfork;		/* to be marked MADV_DONTFORK again */
	bool lent;		/* a forked child may still read the file: keep it */
};

struct pieces {
	struct piece at[PIECES_MAX];
	size_t count;
	_Atomic uintptr_t lowest, highest;	/* all pieces lie in between */
};

/* The index of the first piece that ends after address; count if none does. */
size_t pieces_after(const struct pieces *pieces, uintptr_t address);

/* False if the table is full. The range must be free. */
bool pieces_insert(struct pieces *pieces, const struct piece *piece);

void pieces_remove(struct pieces *pieces, size_t index);

/*
 * Splits the piece that holds address, if one does, so that a piece ends there
 * and another begins. False if the table is full.
 */
bool pieces_split(struct pieces *pieces, uintptr_t address);

/* False if no piece can be near [start, end): a look without the lock. */
static inline bool pieces_near(const struct pieces *pieces, uintptr_t start, uintptr_t end)
{
	return start < pieces->highest && end > pieces->lowest;
}

#endif
