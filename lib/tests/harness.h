/*
 * The tests' frame. A test program lists its tests and calls run_tests(). Each
 * test runs in a process of its own, with the library preloaded and a mock
 * router of its own, and reports in TAP. A test that cannot run here says why
 * by SKIP(), which is counted, not hidden.
 */
#ifndef HARNESS_H
#define HARNESS_H

#include "mock.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(function) { #function, function }

int run_tests(int argc, char **argv, const struct test *tests, size_t count);

_Noreturn void fail(const char *file, int line, const char *what);
_Noreturn void skip(const char *why);

#define CHECK(x)	do { if (!(x)) fail(__FILE__, __LINE__, #x); } while (0)
#define SKIP(why)	skip(why)

/* A figure for the reader; printed as a TAP comment. */
void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

#define DEVICE "/dev/infiniband/uverbs0"

/* Opens the device and does GET_CONTEXT; async may be NULL. */
int device(int *async);

/* uverbs commands: a handle or 0, or a negative errno. */
int alloc_pd(int fd);
int reg_mr(int fd, void *start, size_t length, unsigned int access);
int dereg_mr(int fd, int handle);
int create_channel(int fd);
int create_cq(int fd, uint64_t user_handle, unsigned int cqe, int channel, void **queue);
struct qp { int handle; uint32_t qpn; void *sq, *rq; };
int create_qp(int fd, int send_cq, int recv_cq, int srq, struct qp *qp);
int create_srq(int fd, void **queue);
int req_notify(int fd, int cq, bool solicited);
int doorbell(int fd, uint32_t qp);
int modify_qp(int fd, int qp, int state);

/* A doorbell of a fresh QP that may send. */
int ring(int fd);

/* A command to the mock; answers may be NULL. 0 or a negative errno. */
int mock(int fd, enum mock_number number, uint64_t a, uint64_t b, uint64_t c, uint64_t answer[4]);

/* A byte of an MR as the router sees it; whether through shared pages. */
int peek(int fd, int mr, const void *address, bool *shared);
void poke(int fd, int mr, const void *address, int byte);
uint64_t shared_bytes(int fd, int mr);
uint64_t allocated(int fd);

int count_fds(void);
double now(void);
bool single_core(void);

#define LOCAL_WRITE	1
#define REMOTE_WRITE	2
#define REMOTE_READ	4
#define REMOTE_ATOMIC	8

#endif
