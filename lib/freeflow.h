/*
 * freeflow.h: what libfreeflow.so offers a program that knows of it.
 *
 * No program has to: the library stands in for the kernel's RDMA interface and
 * unmodified programs run on it. A program that does know gets memory whose
 * every byte is shared with the router once it is registered, so that no
 * message to or from it needs the slower path that serves the edges of
 * ordinary allocations.
 */
#ifndef FREEFLOW_H
#define FREEFLOW_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Page-aligned, zeroed memory. NULL and errno where there is none. */
void *ibv_malloc(size_t size);

/* Gives back what ibv_malloc() returned. NULL is ignored; errno is kept. */
void ibv_free(void *memory);

#ifdef __cplusplus
}
#endif

#endif
