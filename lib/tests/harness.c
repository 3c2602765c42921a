#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <rdma/rdma_user_rxe.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define EXIT_SKIPPED 77
#define SECONDS_MAX 120

void fail(const char *file, int line, const char *what)
{
	dprintf(2, "# %s:%d: not true: %s (errno %d)\n", file, line, what, errno);
	_exit(1);
}

void skip(const char *why)
{
	dprintf(1, "# SKIP %s\n", why);
	_exit(EXIT_SKIPPED);
}

void note(const char *format, ...)
{
	char line[256];
	va_list args;

	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	dprintf(1, "#   %s\n", line);
}

double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void put_file(const char *root, const char *path, const char *content)
{
	char full[4096];
	int fd;

	snprintf(full, sizeof(full), "%s%s", root, path);
	for (char *p = full + 1; (p = strchr(p, '/')); p++) {
		*p = '\0';
		mkdir(full, 0755);
		*p = '/';
	}
	fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	CHECK(fd >= 0 && write(fd, content, strlen(content)) == (ssize_t)strlen(content));
	close(fd);
}

static void make_tree(const char *root)
{
	put_file(root, DEVICE, "");
	put_file(root, "/dev/infiniband/rdma_cm", "");
	put_file(root, "/sys/class/misc/rdma_cm/abi_version", "4\n");
	put_file(root, "/sys/class/misc/rdma_cm/dev", "10:60\n");
	put_file(root, "/sys/class/infiniband_verbs/abi_version", "6\n");
	put_file(root, "/sys/class/infiniband_verbs/uverbs0/dev", "231:192\n");
	put_file(root, "/sys/class/infiniband_verbs/uverbs0/ibdev", "rxe0\n");
	put_file(root, "/sys/class/infiniband_verbs/uverbs0/abi_version", "2\n");
	put_file(root, "/sys/class/infiniband/rxe0/node_type", "1: CA\n");
	put_file(root, "/sys/class/infiniband/rxe0/ports/1/gids/0", "0000:0000\n");
}

static pid_t start_router(const char *directory)
{
	char path[4096], binary[4096];
	struct stat status;
	pid_t pid;

	snprintf(path, sizeof(path), "%s/router.sock", directory);
	snprintf(binary, sizeof(binary), "%s/mockrouter", getenv("TEST_BUILD"));
	pid = fork();
	if (pid == 0) {
		execl(binary, "mockrouter", path, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 1000 && stat(path, &status) != 0; i++)
		usleep(1000);
	return pid;
}

static void run_one(const char *self, const char *name, const char *directory)
{
	char preload[4096], root[4096];
	const char *before = getenv("TEST_PRELOAD");

	snprintf(preload, sizeof(preload), "%s%s%s/libfreeflow.so", before ? before : "",
		 before ? ":" : "", getenv("TEST_BUILD"));
	snprintf(root, sizeof(root), "%s/root", directory);
	setenv("LD_PRELOAD", preload, 1);
	setenv("FREEFLOW_ROOT", root, 1);
	setenv("FREEFLOW_RUN_DIR", directory, 1);
	alarm(SECONDS_MAX);
	execl(self, self, name, (char *)NULL);
	_exit(127);
}

static int launch(const char *self, const char *name)
{
	char directory[] = "/tmp/freeflow-test-XXXXXX", command[256], root[64];
	pid_t router, child;
	int status = 0;

	CHECK(mkdtemp(directory));
	snprintf(root, sizeof(root), "%s/root", directory);
	make_tree(root);
	router = start_router(directory);
	child = fork();
	if (child == 0)
		run_one(self, name, directory);
	waitpid(child, &status, 0);
	kill(router, SIGKILL);
	waitpid(router, NULL, 0);
	snprintf(command, sizeof(command), "rm -rf '%s'", directory);
	if (system(command) != 0)
		perror(command);
	return status;
}

int run_tests(int argc, char **argv, const struct test *tests, size_t count)
{
	int failed = 0, skipped = 0;

	if (argc > 1 && getenv("FREEFLOW_ROOT")) {
		for (size_t i = 0; i < count; i++)
			if (strcmp(argv[1], tests[i].name) == 0) {
				tests[i].run();
				return 0;
			}
		return 126;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("1..%zu\n", count);
	for (size_t i = 0; i < count; i++) {
		int status;

		if (argc > 1 && strcmp(argv[1], tests[i].name) != 0)
			continue;
		status = launch("/proc/self/exe", tests[i].name);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0) {
			printf("ok %zu - %s\n", i + 1, tests[i].name);
		} else if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED) {
			printf("ok %zu - %s # SKIP\n", i + 1, tests[i].name);
			skipped++;
		} else {
			printf("not ok %zu - %s (%s %d)\n", i + 1, tests[i].name,
			       WIFSIGNALED(status) ? "signal" : "status",
			       WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
			failed++;
		}
	}
	printf("# %zu tests, %d failed, %d skipped\n", count, failed, skipped);
	return failed != 0;
}

int count_fds(void)
{
	DIR *directory = opendir("/proc/self/fd");
	int n = 0;

	CHECK(directory);
	while (readdir(directory))
		n++;
	closedir(directory);
	return n;
}

bool single_core(void)
{
	return sysconf(_SC_NPROCESSORS_ONLN) < 2;
}

/* header, core, response: as rdma-core writes a legacy command. */
static int command(int fd, uint32_t number, void *bytes, size_t length, void *response, size_t room)
{
	struct ib_uverbs_cmd_hdr *header = bytes;

	header->command = number;
	header->in_words = (uint16_t)(length / 4);
	header->out_words = (uint16_t)(room / 4);
	if (room)
		memcpy((char *)bytes + 8, &(uint64_t){ (uintptr_t)response }, 8);
	return write(fd, bytes, length) == (ssize_t)length ? 0 : -errno;
}

#define COMMAND(type) struct { struct ib_uverbs_cmd_hdr header; struct type core; }

int device(int *async)
{
	COMMAND(ib_uverbs_get_context) c = { 0 };
	struct ib_uverbs_get_context_resp r = { 0 };
	int fd = open(DEVICE, O_RDWR | O_CLOEXEC);

	CHECK(fd >= 0);
	CHECK(command(fd, IB_USER_VERBS_CMD_GET_CONTEXT, &c, sizeof(c), &r, sizeof(r)) == 0);
	CHECK(r.async_fd != 0xffffffff && r.num_comp_vectors == 1);
	if (async)
		*async = (int)r.async_fd;
	else
		close((int)r.async_fd);
	return fd;
}

int alloc_pd(int fd)
{
	COMMAND(ib_uverbs_alloc_pd) c = { 0 };
	struct ib_uverbs_alloc_pd_resp r;
	int error = command(fd, IB_USER_VERBS_CMD_ALLOC_PD, &c, sizeof(c), &r, sizeof(r));

	return error ? error : (int)r.pd_handle;
}

int reg_mr(int fd, void *start, size_t length, unsigned int access)
{
	COMMAND(ib_uverbs_reg_mr) c = { .core = {
		.start = (uintptr_t)start, .length = length, .hca_va = (uintptr_t)start,
		.pd_handle = access >> 16 ? access >> 16 : 1, .access_flags = access & 0xffff } };
	struct ib_uverbs_reg_mr_resp r;
	int error = command(fd, IB_USER_VERBS_CMD_REG_MR, &c, sizeof(c), &r, sizeof(r));

	return error ? error : (int)r.mr_handle;
}

int dereg_mr(int fd, int handle)
{
	COMMAND(ib_uverbs_dereg_mr) c = { .core = { .mr_handle = (uint32_t)handle } };

	return command(fd, IB_USER_VERBS_CMD_DEREG_MR, &c, sizeof(c), NULL, 0);
}

int create_channel(int fd)
{
	COMMAND(ib_uverbs_create_comp_channel) c = { 0 };
	struct ib_uverbs_create_comp_channel_resp r;
	int error = command(fd, IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL, &c, sizeof(c), &r, sizeof(r));

	return error ? error : (int)r.fd;
}

static void *map_queue(int fd, const struct mminfo *info)
{
	void *queue = mmap(NULL, info->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)info->offset);

	CHECK(queue != MAP_FAILED);
	return queue;
}

int create_cq(int fd, uint64_t user_handle, unsigned int cqe, int channel, void **queue)
{
	COMMAND(ib_uverbs_create_cq) c = { .core = {
		.user_handle = user_handle, .cqe = cqe, .comp_channel = channel } };
	struct { struct ib_uverbs_create_cq_resp core; struct mminfo info; } r;
	int error = command(fd, IB_USER_VERBS_CMD_CREATE_CQ, &c, sizeof(c), &r, sizeof(r));

	if (error)
		return error;
	if (queue)
		*queue = map_queue(fd, &r.info);
	return (int)r.core.cq_handle;
}

int create_qp(int fd, int send_cq, int recv_cq, int srq, struct qp *qp)
{
	COMMAND(ib_uverbs_create_qp) c = { .core = {
		.pd_handle = 1, .send_cq_handle = (uint32_t)send_cq, .recv_cq_handle = (uint32_t)recv_cq,
		.srq_handle = srq > 0 ? (uint32_t)srq : 0, .is_srq = srq > 0, .qp_type = 2 } };
	struct { struct ib_uverbs_create_qp_resp core; struct mminfo rq, sq; } r;
	int error = command(fd, IB_USER_VERBS_CMD_CREATE_QP, &c, sizeof(c), &r, sizeof(r));

	if (error)
		return error;
	qp->handle = (int)r.core.qp_handle;
	qp->qpn = r.core.qpn;
	qp->rq = r.rq.size ? map_queue(fd, &r.rq) : NULL;
	qp->sq = map_queue(fd, &r.sq);
	return 0;
}

int create_srq(int fd, void **queue)
{
	COMMAND(ib_uverbs_create_srq) c = { 0 };
	struct { struct ib_uverbs_create_srq_resp core; struct mminfo info; uint64_t number; } r;
	int error = command(fd, IB_USER_VERBS_CMD_CREATE_SRQ, &c, sizeof(c), &r, sizeof(r));

	if (error)
		return error;
	*queue = map_queue(fd, &r.info);
	return (int)r.core.srq_handle;
}

int req_notify(int fd, int cq, bool solicited)
{
	COMMAND(ib_uverbs_req_notify_cq) c = { .core = {
		.cq_handle = (uint32_t)cq, .solicited_only = solicited } };

	return command(fd, IB_USER_VERBS_CMD_REQ_NOTIFY_CQ, &c, sizeof(c), NULL, 0);
}

int doorbell(int fd, uint32_t qp)
{
	COMMAND(ib_uverbs_post_send) c = { .core = { .qp_handle = qp, .wqe_size = 128 } };
	struct ib_uverbs_post_send_resp r;

	return command(fd, IB_USER_VERBS_CMD_POST_SEND, &c, sizeof(c), &r, sizeof(r));
}

int modify_qp(int fd, int qp, int state)
{
	COMMAND(ib_uverbs_modify_qp) c = { .core = {
		.qp_handle = (uint32_t)qp, .attr_mask = 1, .qp_state = (uint8_t)state } };

	return command(fd, IB_USER_VERBS_CMD_MODIFY_QP, &c, sizeof(c), NULL, 0);
}

int ring(int fd)
{
	int cq = create_cq(fd, 1, 3, -1, NULL);
	struct qp qp;

	CHECK(cq > 0 && create_qp(fd, cq, cq, 0, &qp) == 0 && modify_qp(fd, qp.handle, 3) == 0);
	return doorbell(fd, (uint32_t)qp.handle);
}

int mock(int fd, enum mock_number number, uint64_t a, uint64_t b, uint64_t c, uint64_t answer[4])
{
	struct mock_request request = { .argument = { a, b, c, 0 } };
	struct mock_response r = { { 0 } };
	int error = command(fd, number, &request, sizeof(request), &r, sizeof(r));

	if (answer)
		memcpy(answer, r.value, sizeof(r.value));
	return error;
}

int peek(int fd, int mr, const void *address, bool *shared)
{
	uint64_t answer[4];

	CHECK(mock(fd, MOCK_PEEK, (uint64_t)mr, (uintptr_t)address, 0, answer) == 0);
	if (shared)
		*shared = answer[1];
	return (int)answer[0];
}

void poke(int fd, int mr, const void *address, int byte)
{
	CHECK(mock(fd, MOCK_POKE, (uint64_t)mr, (uintptr_t)address, (uint64_t)byte, NULL) == 0);
}

uint64_t shared_bytes(int fd, int mr)
{
	uint64_t answer[4];

	CHECK(mock(fd, MOCK_EXTENTS, (uint64_t)mr, 0, 0, answer) == 0);
	return answer[1];
}

uint64_t allocated(int fd)
{
	uint64_t answer[4];

	CHECK(mock(fd, MOCK_STATS, 0, 0, 0, answer) == 0);
	return answer[2];
}
