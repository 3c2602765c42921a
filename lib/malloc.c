/*
 * ibv_malloc(): memory that consists of whole pages of its own, so that all of
 * it is shared once it is registered. The page before it holds its size.
 */
#include "freeflow.h"
#include "maps.h"
#include "real.h"

#include <errno.h>
#include <stdint.h>

#define MAGIC UINT64_C(0x6d656d776f6c6666)

struct header {
	uint64_t magic;
	size_t length;		/* header's page included */
};

EXPORT void *ibv_malloc(size_t size)
{
	size_t length = page_size + ((size + page_size - 1) & -page_size);
	struct header *header;

	if (length < size) {
		errno = ENOMEM;
		return NULL;
	}
	header = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (header == MAP_FAILED)
		return NULL;
	header->magic = MAGIC;
	header->length = length;
	return (char *)header + page_size;
}

EXPORT void ibv_free(void *memory)
{
	int saved = errno;
	struct header *header;

	if (!memory)
		return;
	header = (struct header *)((char *)memory - page_size);
	if ((uintptr_t)memory % page_size || header->magic != MAGIC)
		abort();
	munmap(header, header->length);		/* ours: it knows of registrations */
	errno = saved;
}
