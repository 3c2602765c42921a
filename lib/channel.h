/*
 * A channel: the rdma_cm device, opened once (librdmacm's rdma_event_channel).
 *
 * Its descriptor is the program's end of a socket pair of the router's, in
 * which a message of one byte, a token, stands for each event that waits
 * (docs/abi.md). So waiting, duplicates and forked children are the kernel's
 * own business, and the router learns from the kernel when nobody has the
 * channel any more. This process keeps nothing but the mark FD_CM and the
 * socket's inode for each descriptor.
 */
#ifndef FF_CHANNEL_H
#define FF_CHANNEL_H

#include "fdtable.h"

/* Opens the device: a descriptor, or -1 and errno. */
int channel_open(int flags);

/* Whether a descriptor marked FD_CM really is a channel; unmarks it if not. */
bool channel_owns(int fd);

/* A channel has one more descriptor. */
void channel_duplicated(int from, int to);

/* Of a descriptor marked FD_CM: by it the router knows the channel. */
ino_t channel_inode(int fd);

/*
 * Waits until there is a token, as long as the descriptor's mode says: 0 or an
 * errno, ENODEV if the router is gone. A cancellation point; to be called
 * without a lock.
 */
int channel_wait(int fd);

/* Takes a token without waiting: 0, EAGAIN or ENODEV. */
int channel_take_token(int fd);

/* Whether the channel's router is gone. */
bool channel_is_dead(int fd);

#endif
