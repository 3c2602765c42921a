/*
 * cmraw.c: commands to the device of RDMA-CM that librdmacm does not write.
 * Expected is what a Linux kernel says (6.1).
 */
#include "check.h"

#include <rdma/rdma_user_cm.h>

static int fd;

/* A command as it is written. */
static struct {
	struct rdma_ucm_cmd_hdr hdr;
	uint8_t body[512];
} command;

static uint64_t answer[64];

#define BODY(type) ((struct type *)memset(command.body, 0, sizeof(command.body)))

#define REFUSED(cmd, in, out, length, number) refused((cmd), (in), (out), (length), (number), __LINE__)

static void refused(uint32_t cmd, size_t in, size_t out, size_t length, int number, int line)
{
	ssize_t result;

	command.hdr = (struct rdma_ucm_cmd_hdr){ .cmd = cmd, .in = (uint16_t)in, .out = (uint16_t)out };
	errno = 0;
	result = write(fd, &command, length);
	expect(result == -1 && errno == number, line, "write of command %u gives %zd, errno %d; expected errno %d", cmd, result, errno, number);
}

static void headers(void)
{
	REFUSED(RDMA_USER_CM_CMD_CREATE_ID, 0, 0, 3, EINVAL);
	REFUSED(200, 0, 0, 8, EINVAL);
	REFUSED(RDMA_USER_CM_CMD_CREATE_ID, 400, 0, 100, EINVAL);
	REFUSED(RDMA_USER_CM_CMD_GET_OPTION, 0, 0, 8, ENOSYS);
	REFUSED(RDMA_USER_CM_CMD_CREATE_ID, sizeof(struct rdma_ucm_create_id), 0, 8 + sizeof(struct rdma_ucm_create_id), ENOSPC);
}

/* Identifiers that are not there. */
static void identifiers(void)
{
	struct rdma_ucm_destroy_id *destroy = BODY(rdma_ucm_destroy_id);
	struct rdma_ucm_listen *listen;

	destroy->id = 99999;
	destroy->response = (uintptr_t)answer;
	REFUSED(RDMA_USER_CM_CMD_DESTROY_ID, sizeof(*destroy), sizeof(struct rdma_ucm_destroy_id_resp), 8 + sizeof(*destroy), ENOENT);
	listen = BODY(rdma_ucm_listen);
	listen->id = 0xffffffff;
	REFUSED(RDMA_USER_CM_CMD_LISTEN, sizeof(*listen), 0, 8 + sizeof(*listen), ENOENT);
}

/* An answer that has nowhere to go, and a port space that is none. */
static void answers(void)
{
	struct rdma_ucm_create_id *create = BODY(rdma_ucm_create_id);

	create->ps = 0x106;
	create->response = 8;
	REFUSED(RDMA_USER_CM_CMD_CREATE_ID, sizeof(*create), sizeof(struct rdma_ucm_create_id_resp), 8 + sizeof(*create), EFAULT);
	create->response = (uintptr_t)answer;
	create->ps = 0x999;
	REFUSED(RDMA_USER_CM_CMD_CREATE_ID, sizeof(*create), sizeof(struct rdma_ucm_create_id_resp), 8 + sizeof(*create), EINVAL);
}

/* An option's value is at an address of the program's. */
static void options(void)
{
	struct rdma_ucm_create_id *create = BODY(rdma_ucm_create_id);
	struct rdma_ucm_set_option *option;
	uint32_t id;

	create->ps = 0x106;
	create->response = (uintptr_t)answer;
	command.hdr = (struct rdma_ucm_cmd_hdr){ RDMA_USER_CM_CMD_CREATE_ID, sizeof(*create), sizeof(struct rdma_ucm_create_id_resp) };
	EXPECT(write(fd, &command, 8 + sizeof(*create)) == 8 + sizeof(*create), "CREATE_ID: errno %d", errno);
	id = (uint32_t)answer[0];
	option = BODY(rdma_ucm_set_option);
	option->id = id;
	option->optname = 1;
	option->optlen = 4;
	option->optval = 8;
	REFUSED(RDMA_USER_CM_CMD_SET_OPTION, sizeof(*option), 0, 8 + sizeof(*option), EFAULT);
	option->optlen = 0x7fffffff;
	option->optval = (uintptr_t)answer;
	REFUSED(RDMA_USER_CM_CMD_SET_OPTION, sizeof(*option), 0, 8 + sizeof(*option), EINVAL);
}

/* Any bytes at all leave a device that serves. */
static void noise(void)
{
	uint32_t seed = 1;

	EXPECT(fcntl(fd, F_SETFL, O_NONBLOCK) == 0, "fcntl: errno %d", errno);
	for (int i = 0; i < 20000; i++) {
		size_t length;

		for (size_t j = 0; j < sizeof(command) / 4; j++)
			memcpy((uint8_t *)&command + 4 * j, &(uint32_t){ seed = seed * 1664525 + 1013904223 }, 4);
		command.hdr.cmd = (seed >> 8) % 28;
		if (i % 2)	/* an identifier that may be there, and an answer that has a place */
			memset(command.body + 16, 0, 8);
		memcpy(command.body + 8, &(uint64_t){ i % 3 ? (uintptr_t)answer : 0 }, 8);
		command.hdr.out = (uint16_t)(seed % (sizeof(answer) + 1));
		command.hdr.in = (uint16_t)((seed >> 5) % sizeof(command.body));
		length = i % 5 ? 8u + command.hdr.in : seed % sizeof(command);
		(void)!write(fd, &command, length);
	}
	headers();
}

int main(int argc, char **argv)
{
	fd = open("/dev/infiniband/rdma_cm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		die("/dev/infiniband/rdma_cm");
	CASE(headers);
	CASE(identifiers);
	CASE(answers);
	CASE(options);
	if (argc > 1)	/* not to kernels: it is their memory that noise is written over */
		CASE(noise);
	close(fd);
	return failures > 0;
}
