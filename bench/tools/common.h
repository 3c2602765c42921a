// What both measuring tools need: the device, the clock, and an end with one line.
#pragma once

#include <errno.h>
#include <infiniband/verbs.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define DIE(...)                                                                                    \
	do {                                                                                        \
		int err_ = errno;                                                                   \
		fprintf(stderr, __VA_ARGS__);                                                       \
		fprintf(stderr, ": %s\n", strerror(err_));                                          \
		exit(1);                                                                            \
	} while (0)

static inline uint64_t now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline struct ibv_context *open_first_device(void)
{
	int n = 0;
	struct ibv_device **list = ibv_get_device_list(&n);
	if (!list || n == 0)
		DIE("find an RDMA device");
	struct ibv_context *ctx = ibv_open_device(list[0]);
	if (!ctx)
		DIE("open %s", ibv_get_device_name(list[0]));
	ibv_free_device_list(list);
	return ctx;
}
