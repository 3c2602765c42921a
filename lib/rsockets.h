/*
 * Sockets over RDMA: docs/sockets.md. librspreload.so of rdma-core, preloaded
 * behind this library, makes an rsocket of each TCP socket of the program.
 * Where it is, this library sees to what it leaves out and common programs
 * need; where it is not, all this is libc's.
 */
#ifndef FF_RSOCKETS_H
#define FF_RSOCKETS_H

#include <stdbool.h>

/* Whether librspreload.so is behind us. */
extern bool rsockets;

/* In the constructor, after real_bind(). */
void rsockets_init(void);

/* socket(). */
int rsockets_socket(int domain, int type, int protocol);

/* ioctl(FIONBIO). */
int rsockets_set_nonblocking(int fd, bool on);

#endif
