/*
 * Whether the program's pointers lead anywhere. The kernel answers EFAULT to
 * one that does not; touching it would end the program instead.
 */
#ifndef FF_REACH_H
#define FF_REACH_H

#include <stdbool.h>
#include <stddef.h>

/* True also where the kernel cannot tell (before Linux 5.14). errno is kept. */
bool can_read(const void *start, size_t length);
bool can_write(const void *start, size_t length);

#endif
