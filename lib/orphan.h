/*
 * The router may die: a thread of ours waits for that, and then releases those
 * who wait for completions that nobody would write any more.
 *
 * Blocked readers of completion channels and of the asynchronous descriptor
 * need no help: their sockets hang up. A program that polls its CQs does: for
 * whatever it has outstanding it is given completions in error, as a device
 * that is removed gives.
 */
#ifndef FF_ORPHAN_H
#define FF_ORPHAN_H

#include <stdbool.h>

/* Contexts came or went: start the thread, or tell it. No lock may be held
   but a context's own. */
void orphan_watch(void);

bool orphan_is_watching(void);

/* In a forked child there is no such thread. */
void orphan_forked(void);

#endif
