/*
 * The uverbs device's own calls: what the program does with the descriptor of
 * /dev/infiniband/uverbs0. Reading events and mapping queues are not here: the
 * descriptors that serve them are the kernel's own (docs/abi.md).
 */
#ifndef FF_UVERBS_H
#define FF_UVERBS_H

#include "context.h"

/* write() of a command: its length, or -1 and errno. */
ssize_t uverbs_write(struct context *context, const void *bytes, size_t length);

#endif
