/*
 * Children: what they write is theirs, what arrives at the parent is the
 * parent's, and both may go on using the device.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096ul
#define MiB (1ul << 20)

static char *map_rw(size_t length)
{
	char *p = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static void await(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Two pipes that keep parent and child in step. */
struct step { int go[2], done[2]; };

static void step_init(struct step *s)
{
	CHECK(pipe(s->go) == 0 && pipe(s->done) == 0);
}

static void signal_to(int fd)
{
	CHECK(write(fd, "", 1) == 1);
}

static void wait_for(int fd)
{
	char c;

	CHECK(read(fd, &c, 1) == 1);
}

static void isolation(size_t size, bool from_parent_too)
{
	int fd = device(NULL), mr;
	char *p = map_rw(size);
	struct step s;
	double start;
	pid_t child;

	memset(p, 1, size);
	CHECK((mr = reg_mr(fd, p, size, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == size);
	step_init(&s);
	start = now();
	child = fork();
	if (child == 0) {
		CHECK(p[0] == 1 && p[size - 1] == 1);
		p[0] = 2;
		p[PAGE] = 2;
		signal_to(s.done[1]);
		wait_for(s.go[0]);
		CHECK(p[0] == 2);
		if (from_parent_too)
			CHECK(p[2 * PAGE] == 1 && p[3 * PAGE] == 1);
		_exit(0);
	}
	note("fork with %zu MiB registered: %.2f ms", size / MiB, (now() - start) * 1e3);
	wait_for(s.done[0]);
	CHECK(p[0] == 1 && p[PAGE] == 1);
	p[2 * PAGE] = 3;
	poke(fd, mr, p + 3 * PAGE, 3);
	CHECK(p[3 * PAGE] == 3 && peek(fd, mr, p + 2 * PAGE, NULL) == 3);
	signal_to(s.go[1]);
	await(child);
	CHECK(dereg_mr(fd, mr) == 0 && p[0] == 1 && p[2 * PAGE] == 3);
}

static void small_memory_is_copied(void)
{
	isolation(2 * MiB, true);
}

static void large_memory_is_split_on_write(void)
{
	isolation(64 * MiB, false);
}

/* The parent ends its registration: the child's view must not turn to zeros. */
static void child_outlives_registration(void)
{
	int fd = device(NULL), mr;
	size_t size = 32 * MiB;
	char *p = map_rw(size);
	struct step s;
	pid_t child;

	memset(p, 1, size);
	CHECK((mr = reg_mr(fd, p, size, LOCAL_WRITE)) > 0);
	step_init(&s);
	child = fork();
	if (child == 0) {
		wait_for(s.go[0]);
		for (size_t i = 0; i < size; i += PAGE)
			CHECK(p[i] == 1);
		_exit(0);
	}
	CHECK(dereg_mr(fd, mr) == 0 && close(fd) == 0);
	memset(p, 5, size);
	signal_to(s.go[1]);
	await(child);
}

static void child_commands_by_joining(void)
{
	int fd = device(NULL), pd = alloc_pd(fd), mr;
	char *p = map_rw(16 * PAGE);
	uint64_t answer[4];
	struct step s;
	pid_t child;

	CHECK(pd > 0);
	step_init(&s);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 100; i++) {
			CHECK(mock(fd, MOCK_SLOW, 100, (uint64_t)i, 0, answer) == 0 && answer[0] == (uint64_t)i);
			CHECK(ring(fd) == 0);
		}
		memset(p, 4, 16 * PAGE);
		CHECK((mr = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == 16 * PAGE);
		CHECK(peek(fd, mr, p + PAGE, NULL) == 4);
		CHECK(mock(fd, MOCK_STATS, 0, 0, 0, answer) == 0 && answer[1] == 1 && answer[0] == 2);
		signal_to(s.done[1]);
		wait_for(s.go[0]);
		CHECK(alloc_pd(fd) > 0);
		close(fd);
		_exit(0);
	}
	for (int i = 0; i < 100; i++)
		CHECK(mock(fd, MOCK_SLOW, 100, 1000 + (uint64_t)i, 0, answer) == 0 && answer[0] == 1000 + (uint64_t)i);
	wait_for(s.done[0]);
	CHECK(p[0] == 0);
	signal_to(s.go[1]);
	await(child);
	usleep(20000);
	CHECK(mock(fd, MOCK_STATS, 0, 0, 0, answer) == 0 && answer[0] == 1);
}

/* One that rang may have died before it woke the router: the others do not rely on it. */
static void each_ring_wakes_after_a_fork(void)
{
	int fd = device(NULL), cq = create_cq(fd, 1, 10, -1, NULL);
	uint64_t answer[4];
	struct qp qp;
	pid_t child;

	CHECK(create_qp(fd, cq, cq, 0, &qp) == 0 && modify_qp(fd, qp.handle, 3) == 0);
	child = fork();
	if (child == 0) {
		CHECK(doorbell(fd, (uint32_t)qp.handle) == 0);
		_exit(0);
	}
	await(child);
	CHECK(doorbell(fd, (uint32_t)qp.handle) == 0);
	CHECK(mock(fd, MOCK_BELLS, 0, 0, 0, answer) == 0 && answer[0] == 1ull << qp.handle && answer[2] == 2);
}

/* The context lives while the child does, and no longer. */
static void child_goes_on_alone(void)
{
	struct step s;
	pid_t child;

	step_init(&s);
	child = fork();
	if (child == 0) {
		int fd = device(NULL);
		pid_t grandchild = fork();

		if (grandchild == 0) {
			CHECK(alloc_pd(fd) > 0);
			signal_to(s.go[1]);
			wait_for(s.done[0]);
			CHECK(alloc_pd(fd) > 0);
			signal_to(s.go[1]);
			_exit(0);
		}
		wait_for(s.go[0]);
		_exit(0);
	}
	await(child);
	signal_to(s.done[1]);
	wait_for(s.go[0]);
}

static void idle_child_does_not_hold_the_connection(void)
{
	int fd = device(NULL), other;
	uint64_t answer[4];
	pid_t child = fork();

	if (child == 0) {
		pause();
		_exit(0);
	}
	close(fd);
	usleep(20000);
	other = device(NULL);
	CHECK(mock(other, MOCK_STATS, 0, 0, 0, answer) == 0 && answer[0] == 1);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void child_that_dies_at_once(void)
{
	int fd = device(NULL), mr, status;
	char *p = map_rw(MiB);

	memset(p, 1, MiB);
	CHECK((mr = reg_mr(fd, p, MiB, LOCAL_WRITE)) > 0);
	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0)
			raise(SIGKILL);
		CHECK(waitpid(child, &status, 0) == child);
	}
	CHECK(alloc_pd(fd) > 0 && p[5] == 1);
	/* fork() that fails must not hang. */
	CHECK(peek(fd, mr, p, NULL) == 1);
}

static void *allocate(void *stop)
{
	while (!*(volatile bool *)stop) {
		free(malloc(300000));
		int fd = dup(0);

		close(fd);
	}
	return NULL;
}

static void forks_among_threads(void)
{
	int fd = device(NULL);
	volatile bool stop = false;
	pthread_t threads[3];
	char *p = map_rw(64 * PAGE);
	int before;

	for (int i = 0; i < 3; i++)
		CHECK(pthread_create(&threads[i], NULL, allocate, (void *)&stop) == 0);
	for (int i = 0; i < 40; i++) {
		int mr;
		pid_t child;

		memset(p, i, 64 * PAGE);
		CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0);
		child = fork();
		if (child == 0) {
			CHECK(p[PAGE] == (char)i);
			p[PAGE] = 100;
			if (i % 4 == 0)
				CHECK(alloc_pd(fd) > 0);
			_exit(0);
		}
		await(child);
		CHECK(p[PAGE] == (char)i && dereg_mr(fd, mr) == 0);
	}
	stop = true;
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	before = count_fds();
	for (int i = 0; i < 10; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(0);
		await(child);
	}
	CHECK(count_fds() == before);
}

/* No pthread_atfork() handler runs in such a child. */
static void raw_fork_is_noticed(void)
{
	int fd = device(NULL), mr;
	uint64_t answer[4];
	char *p = map_rw(64 * PAGE);
	pid_t child;

	memset(p, 1, 64 * PAGE);
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0);
	child = (pid_t)syscall(SYS_fork);
	if (child == 0) {
		CHECK(alloc_pd(fd) > 0);
		CHECK(mock(fd, MOCK_STATS, 0, 0, 0, answer) == 0 && answer[1] == 1);
		p[0] = 2;
		_exit(0);
	}
	await(child);
	CHECK(p[0] == 1 && alloc_pd(fd) > 0);
}

/* As a daemon does: fork, close all, start afresh. */
static void daemon_starts_afresh(void)
{
	int fd = device(NULL);
	pid_t child = fork();

	if (child == 0) {
		for (int i = 3; i < 4096; i++)
			close(i);
		CHECK(alloc_pd(fd) == -EBADF);
		CHECK((fd = device(NULL)) == 3 && alloc_pd(fd) > 0);
		_exit(0);
	}
	await(child);
	CHECK(alloc_pd(fd) > 0);
}

static void dontfork_memory_is_absent(void)
{
	int fd = device(NULL), mr, status;
	char *p = map_rw(64 * PAGE);
	pid_t child;

	memset(p, 1, 64 * PAGE);
	CHECK(madvise(p, 64 * PAGE, MADV_DONTFORK) == 0);
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0);
	child = fork();
	if (child == 0) {
		signal(SIGSEGV, SIG_DFL);
		p[0] = 2;
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
	CHECK(p[0] == 1);
}

static const struct test tests[] = {
	TEST(small_memory_is_copied),
	TEST(large_memory_is_split_on_write),
	TEST(child_outlives_registration),
	TEST(child_commands_by_joining),
	TEST(each_ring_wakes_after_a_fork),
	TEST(child_goes_on_alone),
	TEST(idle_child_does_not_hold_the_connection),
	TEST(child_that_dies_at_once),
	TEST(forks_among_threads),
	TEST(raw_fork_is_noticed),
	TEST(daemon_starts_afresh),
	TEST(dontfork_memory_is_absent),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
