/*
 * The rdma_cm device's commands: what the program writes to a channel
 * (channel.h). They go over a connection that the program does not see
 * (cm_router.h).
 */
#ifndef FF_CM_H
#define FF_CM_H

#include <stddef.h>
#include <sys/types.h>

/* write() to a descriptor marked FD_CM: -1 and errno, or the length. */
ssize_t cm_write(int fd, const void *bytes, size_t length);

#endif
