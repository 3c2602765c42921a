/*
 * Turning private pages into mappings of the memory file, and back.
 *
 * Contents are kept, and pages that were never touched stay so. Neither way
 * loses another thread's writes where the kernel helps (freeze.h): the pages
 * are write-protected, copied, replaced in one step, released.
 */
#ifndef FF_SHARE_H
#define FF_SHARE_H

#include "maps.h"

/* The file's room at offset is fresh (zeros). 0 or an errno: nothing changed. */
int share_pages(int file, uint64_t offset, const struct mapping *what, bool dontfork);

/*
 * The pages of what, a mapping of the file, become private again. With alone
 * set nobody else can be using them. 0 or an errno: they are still shared.
 */
int unshare_pages(int file, const struct mapping *what, bool dontfork, bool alone);

#endif
