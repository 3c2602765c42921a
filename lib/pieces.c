#include "pieces.h"

#include <string.h>

size_t pieces_after(const struct pieces *pieces, uintptr_t address)
{
	size_t low = 0, high = pieces->count;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (pieces->at[middle].end > address)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

static void note_bounds(struct pieces *pieces)
{
	size_t n = pieces->count;

	pieces->lowest = n ? pieces->at[0].start : 0;
	pieces->highest = n ? pieces->at[n - 1].end : 0;
}

bool pieces_insert(struct pieces *pieces, const struct piece *piece)
{
	size_t i = pieces_after(pieces, piece->start);

	if (pieces->count == PIECES_MAX)
		return false;
	memmove(&pieces->at[i + 1], &pieces->at[i], (pieces->count - i) * sizeof(*piece));
	pieces->at[i] = *piece;
	pieces->count++;
	note_bounds(pieces);
	return true;
}

void pieces_remove(struct pieces *pieces, size_t index)
{
	pieces->count--;
	memmove(&pieces->at[index], &pieces->at[index + 1],
		(pieces->count - index) * sizeof(pieces->at[0]));
	note_bounds(pieces);
}

bool pieces_split(struct pieces *pieces, uintptr_t address)
{
	size_t i = pieces_after(pieces, address);
	struct piece upper;

	if (i == pieces->count || pieces->at[i].start >= address)
		return true;
	if (pieces->count == PIECES_MAX)
		return false;
	upper = pieces->at[i];
	upper.offset += address - upper.start;
	upper.start = address;
	pieces->at[i].end = address;
	return pieces_insert(pieces, &upper);
}
