/*
 * rdma_cm commands for the tests, and what the mock answers (mock.h).
 */
#ifndef CMCALLS_H
#define CMCALLS_H

#include "harness.h"

#include <rdma/rdma_user_cm.h>

#define RDMA_CM "/dev/infiniband/rdma_cm"

/* The device, opened. */
int channel(void);

/* Writes a command of number with the structure body: 0 or a negative errno. */
int cm_command(int fd, uint32_t number, const void *body, size_t length, size_t room);

/* Makes an id: how many the channel has now, or a negative errno. */
int cm_id(int fd);

/* The next event's number, or a negative errno. */
int cm_event(int fd);

/* How many events were withdrawn, or a negative errno. */
int cm_destroy(int fd, uint32_t events);
int cm_migrate(int to, int from, uint32_t events);

/* One of the mock's own: 0 or a negative errno; answer has room bytes. */
int cm_mock(int fd, enum mock_cm_option option, uint32_t argument, void *answer, size_t room);
struct mock_cm_stats cm_stats(int fd);

/* Whether poll() says that an event waits. */
bool readable(int fd);

#endif
