/*
 * A dead context's queues: what the router owed its programs.
 *
 * Blocked readers of completion channels and of the asynchronous descriptor
 * need no help: their sockets hang up. A program that polls its CQs does. For
 * whatever it has outstanding it gets completions with the status
 * IBV_WC_WR_FLUSH_ERR, as from a device that is removed.
 */
#ifndef FF_FLUSH_H
#define FF_FLUSH_H

#include "context.h"

/* The caller holds context->lock. Whether anything was flushed. */
bool flush_context(struct context *context);

#endif
