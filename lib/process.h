/*
 * Which process this is. A preload lives through three kinds of child:
 *
 *   fork()     pthread_atfork() handlers run: fork.c
 *   _Fork(), raw clone()
 *              nothing runs; noticed on the first call that matters, because a
 *              page marked MADV_WIPEONFORK has become zero
 *   vfork(), posix_spawn()
 *              the child runs on the parent's memory with descriptors of its
 *              own: it must change nothing here
 */
#ifndef FF_PROCESS_H
#define FF_PROCESS_H

#include <stdbool.h>

/* In the constructor. */
void process_init(void);

/*
 * Whether the library's state is this process' own to act on. False in a
 * vfork child. In a child that no handler announced, sorts it out first.
 */
bool process_is_owner(void);

/* For fork.c: the child owns its copy. */
void process_own(void);

#endif
