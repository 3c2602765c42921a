/*
 * Holding off other threads' writes to a range while it is copied and
 * replaced: userfaultfd write protection. A thread that writes meanwhile waits
 * in its page fault and continues in the new mapping, so no update is lost.
 *
 * Where the kernel or its settings allow no userfaultfd, freeze_begin() does
 * nothing and a concurrent writer can lose what it wrote during the copy.
 */
#ifndef FF_FREEZE_H
#define FF_FREEZE_H

#include <stdbool.h>
#include <stddef.h>

struct freeze {
	int fd;			/* -1: not frozen */
};

/* Does nothing if no other thread can be writing. */
void freeze_begin(struct freeze *freeze, void *start, size_t length);
void freeze_end(struct freeze *freeze);

/* Whether the program has threads besides the caller; orphan.c's not counted. */
bool threads_exist(void);

#endif
