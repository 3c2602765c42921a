/*
 * The router may die: a thread of ours waits for that, and then releases those
 * who wait for completions that nobody would write any more (flush.h).
 *
 * The thread blocks all signals, uses no malloc(), keeps no process alive that
 * would end without it, and lies in poll() until a connection hangs up.
 */
#ifndef FF_ORPHAN_H
#define FF_ORPHAN_H

#include <stdbool.h>

/*
 * Contexts came or went: start the thread, or tell it. To be called without a
 * lock, since a thread's start allocates.
 */
void orphan_watch(void);

/* The same, put off to the next orphan_watch_if_due(), for holders of locks. */
void orphan_watch_later(void);
void orphan_watch_if_due(void);

bool orphan_is_watching(void);

/* In a forked child there is no such thread. */
void orphan_forked(void);

#endif
