#include "cmcalls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

int channel(void)
{
	int fd = open(RDMA_CM, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	return fd;
}

int cm_command(int fd, uint32_t number, const void *body, size_t length, size_t room)
{
	struct { struct rdma_ucm_cmd_hdr header; uint8_t body[512]; } c = {
		.header = { number, (uint16_t)length, (uint16_t)room } };
	size_t whole = sizeof(c.header) + length;

	memcpy(c.body, body, length);
	return write(fd, &c, whole) == (ssize_t)whole ? 0 : -errno;
}

int cm_id(int fd)
{
	struct rdma_ucm_create_id_resp r = { 0 };
	struct rdma_ucm_create_id c = { .uid = 1, .response = (uintptr_t)&r, .ps = RDMA_PS_TCP };
	int error = cm_command(fd, RDMA_USER_CM_CMD_CREATE_ID, &c, sizeof(c), sizeof(r));

	return error ? error : (int)r.id;
}

int cm_event(int fd)
{
	struct rdma_ucm_event_resp r = { 0 };
	struct rdma_ucm_get_event c = { .response = (uintptr_t)&r };
	int error = cm_command(fd, RDMA_USER_CM_CMD_GET_EVENT, &c, sizeof(c), sizeof(r));

	return error ? error : (int)r.uid;
}

int cm_destroy(int fd, uint32_t events)
{
	struct rdma_ucm_destroy_id_resp r = { 0 };
	struct rdma_ucm_destroy_id c = { .response = (uintptr_t)&r, .id = events };
	int error = cm_command(fd, RDMA_USER_CM_CMD_DESTROY_ID, &c, sizeof(c), sizeof(r));

	return error ? error : (int)r.events_reported;
}

int cm_migrate(int to, int from, uint32_t events)
{
	struct rdma_ucm_migrate_resp r = { 0 };
	struct rdma_ucm_migrate_id c = { .response = (uintptr_t)&r, .id = events, .fd = (uint32_t)from };
	int error = cm_command(to, RDMA_USER_CM_CMD_MIGRATE_ID, &c, sizeof(c), sizeof(r));

	return error ? error : (int)r.events_reported;
}

int cm_mock(int fd, enum mock_cm_option option, uint32_t argument, void *answer, size_t room)
{
	uint8_t nothing;
	struct rdma_ucm_query c = { .response = (uintptr_t)(answer ? answer : &nothing),
				    .id = argument, .option = option };

	return cm_command(fd, RDMA_USER_CM_CMD_QUERY, &c, sizeof(c), room);
}

struct mock_cm_stats cm_stats(int fd)
{
	struct mock_cm_stats s = { 0 };

	CHECK(cm_mock(fd, MOCK_CM_STATS, 0, &s, sizeof(s)) == 0);
	return s;
}

bool readable(int fd)
{
	struct pollfd polled = { fd, POLLIN, 0 };

	CHECK(poll(&polled, 1, 0) >= 0);
	return polled.revents & POLLIN;
}
