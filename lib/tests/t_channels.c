/*
 * The life of channels: their descriptors under every call that copies, closes
 * and inherits them, behind the library's back too, and the router's death.
 */
#include "cmcalls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static void await(pid_t child)
{
	int status;

	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

/* Waits until the router has seen so many channels, which is soon. */
static void await_channels(int fd, uint32_t wanted)
{
	for (int i = 0; i < 2000 && cm_stats(fd).channels != wanted; i++)
		usleep(1000);
	CHECK(cm_stats(fd).channels == wanted);
}

static int hidden_descriptor(void)
{
	char path[64];

	for (int fd = 700; fd < 4096; fd++) {
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (access(path, F_OK) == 0)
			return fd;
	}
	return -1;
}

static void nothing_leaks(void)
{
	int first = channel(), before = count_fds();

	for (int i = 0; i < 1000; i++) {
		int fd = channel();

		CHECK(fd == first + 1 && cm_id(fd) == 1);
		CHECK(cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0);
		CHECK(close(fd) == 0 && cm_id(fd) == -EBADF);
	}
	CHECK(count_fds() == before && cm_stats(first).channels == 1 && cm_stats(first).connections == 1);
	CHECK(cm_stats(first).stray == 0);
}

static void ten_thousand_channels(void)
{
	enum { N = 10000 };
	static int fds[N];
	struct rlimit limit;
	double start;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	if (limit.rlim_max < N + 200)
		SKIP("needs RLIMIT_NOFILE of 10200: ulimit -Hn 10200");
	limit.rlim_cur = limit.rlim_max;
	CHECK(setrlimit(RLIMIT_NOFILE, &limit) == 0);
	start = now();
	for (int i = 0; i < N; i++)
		fds[i] = channel();
	note("%d channels opened: %.1f us each", N, (now() - start) * 1e6 / N);
	CHECK(cm_stats(fds[0]).channels == N && cm_stats(fds[0]).connections == 1);
	for (int i = 0; i < N; i += 97) {
		CHECK(cm_id(fds[i]) == 1 && cm_mock(fds[i], MOCK_CM_POST, 1, NULL, 0) == 0);
		CHECK(cm_event(fds[i]) == i / 97 + 1 && !readable(fds[i]));
	}
	for (int i = 1; i < N; i++)
		CHECK(close(fds[i]) == 0);
	CHECK(cm_stats(fds[0]).channels == 1);
	closefrom(3);
	CHECK(cm_stats(channel()).channels == 1);
}

static void duplicates_are_the_channel(void)
{
	int fd = channel(), other = channel(), a = dup(fd), b = dup2(fd, 50), c = dup3(fd, 51, O_CLOEXEC);
	int d = fcntl(fd, F_DUPFD, 60), e = fcntl(fd, F_DUPFD_CLOEXEC, 61), uverbs = device(NULL);
	struct stat st;

	CHECK(a > 0 && b == 50 && c == 51 && d == 60 && e == 61);
	CHECK(fcntl(c, F_GETFD) == FD_CLOEXEC && fcntl(d, F_GETFD) == 0);
	CHECK(close(fd) == 0 && cm_id(fd) == -EBADF && cm_stats(other).channels == 2);
	CHECK(cm_id(a) == 1 && cm_id(b) == 2 && cm_id(c) == 3 && cm_id(d) == 4 && cm_id(e) == 5);
	CHECK(cm_mock(a, MOCK_CM_POST, 1, NULL, 0) == 0 && readable(e) && cm_event(b) == 1 && !readable(e));
	close(a);
	CHECK(dup2(0, b) == b && fstat(b, &st) == 0 && cm_id(b) < 0);
	/* Of another kind each time, and back. */
	CHECK(dup2(uverbs, c) == c && alloc_pd(c) > 0 && fstat(c, &st) == 0 && st.st_rdev == 0xe7c0);
	CHECK(dup2(d, c) == c && cm_id(c) == 6 && fstat(c, &st) == 0 && st.st_rdev == 0xa3c);
	CHECK(dup2(e, e) == e && dup2(other, d) == d && cm_id(d) == 1);
	close(c);
	close(d);
	CHECK(cm_id(e) == 7 && cm_stats(other).channels == 2);
	close(e);
	CHECK(cm_stats(other).channels == 1 && alloc_pd(uverbs) > 0);
}

static void sweeps_spare_the_connection(void)
{
	int fd = channel(), hidden = hidden_descriptor();

	CHECK(hidden > 0 && close(hidden) < 0 && errno == EBADF && dup(hidden) < 0 && errno == EBADF);
	for (int i = fd + 1; i < 4096; i++)
		close(i);
	CHECK(cm_id(fd) == 1);
	CHECK(close_range((unsigned int)fd + 1, ~0u, 0) == 0 && cm_id(fd) == 2);
	closefrom(fd + 1);
	CHECK(cm_id(fd) == 3 && cm_stats(fd).connections == 1);
	/* The program wants its number: it makes way. */
	CHECK(dup2(1, hidden) == hidden && close(hidden) == 0 && cm_id(fd) == 4);
	CHECK(cm_stats(fd).connections == 1);
	closefrom(3);
	CHECK(cm_id(fd) == -EBADF);
	fd = channel();
	CHECK(cm_id(fd) == 1 && cm_stats(fd).channels == 1);
}

static void reused_numbers_are_verified(void)
{
	int fd = channel(), file = open("/tmp", O_TMPFILE | O_RDWR, 0600), pair[2];
	char bytes[16] = "no command";
	struct stat st;

	/* Behind the library's back: a file, then a socket of the same kind. */
	CHECK(file >= 0 && syscall(SYS_close, fd) == 0 && syscall(SYS_dup3, file, fd, 0) == fd);
	CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
	CHECK(write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && fstat(file, &st) == 0 && st.st_size == 16);
	fd = channel();
	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
	CHECK(syscall(SYS_close, fd) == 0 && syscall(SYS_dup3, pair[0], fd, 0) == fd);
	CHECK(write(fd, bytes, sizeof(bytes)) == sizeof(bytes) && read(pair[1], bytes, sizeof(bytes)) == 16);
	CHECK(fstat(fd, &st) == 0 && S_ISSOCK(st.st_mode) && cm_migrate(channel(), fd, 1) == -EINVAL);
	CHECK(cm_stats(channel()).stray == 0);
}

static void a_connection_swept_away_is_made_anew(void)
{
	int fd = channel(), hidden = hidden_descriptor(), file;
	struct stat st;

	CHECK(hidden > 0 && syscall(SYS_close, hidden) == 0 && cm_id(fd) == 1);
	hidden = hidden_descriptor();
	CHECK((file = open("/tmp", O_TMPFILE | O_RDWR, 0600)) >= 0 && syscall(SYS_dup3, file, hidden, 0) == hidden);
	CHECK(cm_id(fd) == 2 && fstat(file, &st) == 0 && st.st_size == 0);
	CHECK(close(hidden) == 0 && hidden_descriptor() != hidden && cm_id(fd) == 3);
	CHECK(cm_stats(fd).connections == 1);
}

static void children_have_their_own_connection(void)
{
	int fd = channel();
	pid_t child = fork();
	uint32_t answer;

	if (child == 0) {
		for (uint32_t i = 0; i < 200; i++)
			CHECK(cm_mock(fd, MOCK_CM_SLOW, i, &answer, sizeof(answer)) == 0 && answer == i);
		CHECK(cm_stats(fd).connections == 2 && cm_id(channel()) == 1);
		close(fd);
		_exit(0);
	}
	for (uint32_t i = 0; i < 200; i++)
		CHECK(cm_mock(fd, MOCK_CM_SLOW, 1000 - i, &answer, sizeof(answer)) == 0 && answer == 1000 - i);
	await(child);
	await_channels(fd, 1);
	CHECK(cm_id(fd) == 1 && cm_stats(fd).connections == 1);
	/* One that no handler announces. */
	child = (pid_t)syscall(SYS_fork);
	if (child == 0) {
		CHECK(cm_id(fd) == 2 && cm_stats(fd).connections == 2);
		_exit(0);
	}
	await(child);
	CHECK(cm_id(fd) == 3);
}

/* The channel lives while a child has it, and no longer. */
static void the_last_duplicate_ends_a_channel(void)
{
	int fd = channel(), other = channel(), ends[2];
	pid_t child;
	char byte;

	CHECK(pipe(ends) == 0);
	child = fork();
	if (child == 0) {
		close(ends[1]);
		CHECK(read(ends[0], &byte, 1) == 0 && cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0 && cm_event(fd) == 1);
		_exit(0);
	}
	close(fd);
	CHECK(cm_stats(other).channels == 2);
	close(ends[1]);
	await(child);
	await_channels(other, 1);
}

static void a_killed_program_leaves_none(void)
{
	int fd = channel(), status, ends[2];
	pid_t child;
	char byte;

	CHECK(pipe(ends) == 0);
	child = fork();
	if (child == 0) {
		for (int i = 0; i < 10; i++)
			channel();
		CHECK(write(ends[1], "", 1) == 1);
		cm_event(fd);
		_exit(1);
	}
	CHECK(read(ends[0], &byte, 1) == 1 && cm_stats(fd).channels == 11);
	usleep(10000);
	kill(child, SIGKILL);
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status));
	await_channels(fd, 1);
	CHECK(cm_stats(fd).connections == 1 && cm_id(fd) == 1);
}

static void *fork_and_fork(void *argument)
{
	for (int i = 0; i < 30; i++) {
		pid_t child = fork();

		if (child == 0) {
			CHECK(i % 3 || cm_id(*(int *)argument) > 0);
			_exit(0);
		}
		await(child);
	}
	return NULL;
}

static void forks_among_threads(void)
{
	int fd = channel();
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, fork_and_fork, &fd) == 0);
	for (int i = 0; i < 300; i++)
		CHECK(cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0 && cm_event(fd) == i + 1);
	pthread_join(thread, NULL);
	await_channels(fd, 1);
}

static void vfork_child_is_harmless(void)
{
	int fd = channel(), status, sent, opened;
	char *const arguments[] = { "true", NULL };
	posix_spawn_file_actions_t actions;
	volatile pid_t child = vfork();

	if (child == 0) {
		sent = cm_id(fd);
		opened = open(RDMA_CM, O_RDWR);
		close(fd);
		for (int i = 3; i < 4096; i++)
			close(i);
		dup(0);
		dup2(0, fd);
		closefrom(3);
		_exit(sent == -ENODEV && opened < 0 ? 7 : 1);
	}
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	CHECK(cm_id(fd) == 1 && cm_stats(fd).channels == 1 && cm_stats(fd).stray == 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	CHECK(posix_spawnp((pid_t *)&child, "true", &actions, NULL, arguments, NULL) == 0);
	CHECK(waitpid(child, &status, 0) == child && status == 0 && system("exit 3") == 3 << 8);
	CHECK(cm_id(fd) == 2);
}

/* As a daemon does: fork, close all, start afresh. */
static void daemon_starts_afresh(void)
{
	int fd = channel();
	pid_t child = fork();

	if (child == 0) {
		for (int i = 3; i < 4096; i++)
			close(i);
		CHECK(cm_id(fd) == -EBADF && (fd = channel()) == 3 && cm_id(fd) == 1);
		_exit(0);
	}
	await(child);
	CHECK(cm_id(fd) == 1);
}

static void start_another_router(void)
{
	char path[4096], binary[4096];
	struct stat before, status;

	snprintf(path, sizeof(path), "%s/router.sock", getenv("FREEFLOW_RUN_DIR"));
	snprintf(binary, sizeof(binary), "%s/mockrouter", getenv("TEST_BUILD"));
	CHECK(stat(path, &before) == 0);
	if (fork() == 0) {
		execl(binary, "mockrouter", path, (char *)NULL);
		_exit(127);
	}
	for (int i = 0; i < 2000 && (stat(path, &status) != 0 || status.st_ino == before.st_ino); i++)
		usleep(1000);
}

static void *wait_for_death(void *fd)
{
	return (void *)(intptr_t)cm_event(*(int *)fd);
}

static void the_router_dies(void)
{
	int fd = channel(), other = channel();
	struct pollfd polled = { fd, POLLIN, 0 };
	uint32_t router = cm_stats(fd).pid;
	pthread_t thread;
	void *result;

	CHECK(cm_mock(other, MOCK_CM_POST, 1, NULL, 0) == 0);
	CHECK(pthread_create(&thread, NULL, wait_for_death, &fd) == 0);
	usleep(20000);
	kill((pid_t)router, SIGKILL);
	CHECK(pthread_join(thread, &result) == 0 && (intptr_t)result == -ENODEV);
	CHECK(poll(&polled, 1, -1) == 1 && (polled.revents & POLLHUP));
	CHECK(cm_event(fd) == -ENODEV && cm_id(fd) == -EIO && cm_id(fd) == -EIO);
	CHECK(cm_event(other) == -EIO);		/* a token, but nobody to ask */
	CHECK(open(RDMA_CM, O_RDWR) < 0 && errno == ENODEV);

	start_another_router();
	CHECK(cm_id(fd) == -ENODEV && cm_event(fd) == -ENODEV && cm_migrate(fd, other, 1) == -ENODEV);
	CHECK((other = channel()) > 0 && cm_id(other) == 1 && cm_stats(other).channels == 1);
	CHECK(cm_migrate(other, fd, 1) == -EBADF && close(fd) == 0);
}

/* A new router serves the first open(), not only the second. */
static void a_new_router_is_found(void)
{
	int fd = channel();

	kill((pid_t)cm_stats(fd).pid, SIGKILL);
	start_another_router();
	CHECK(cm_id(channel()) == 1 && cm_id(fd) == -ENODEV);
}

static void dies_during_a_command(void)
{
	int fd = channel();
	void *result;
	pthread_t thread;

	CHECK(pthread_create(&thread, NULL, wait_for_death, &fd) == 0);
	CHECK(cm_mock(fd, MOCK_CM_DIE_NEXT, 0, NULL, 0) == 0 && cm_id(fd) == -EIO);
	CHECK(pthread_join(thread, &result) == 0 && (intptr_t)result == -ENODEV);
}

static void both_devices_at_once(void)
{
	int uverbs = device(NULL), fd = channel();
	pid_t child;

	CHECK(ring(uverbs) == 0 && cm_id(fd) == 1 && reg_mr(uverbs, malloc(1 << 20), 1 << 20, LOCAL_WRITE) > 0);
	CHECK(cm_stats(fd).connections == 2);
	child = fork();
	if (child == 0) {
		CHECK(cm_id(fd) == 2 && alloc_pd(uverbs) > 0 && cm_stats(fd).connections == 4);
		_exit(0);
	}
	await(child);
	close(uverbs);
	CHECK(cm_id(fd) == 3);
}

static const struct test tests[] = {
	TEST(nothing_leaks),
	TEST(ten_thousand_channels),
	TEST(duplicates_are_the_channel),
	TEST(sweeps_spare_the_connection),
	TEST(reused_numbers_are_verified),
	TEST(a_connection_swept_away_is_made_anew),
	TEST(children_have_their_own_connection),
	TEST(the_last_duplicate_ends_a_channel),
	TEST(a_killed_program_leaves_none),
	TEST(forks_among_threads),
	TEST(vfork_child_is_harmless),
	TEST(daemon_starts_afresh),
	TEST(the_router_dies),
	TEST(a_new_router_is_found),
	TEST(dies_during_a_command),
	TEST(both_devices_at_once),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
