/*
 * The device: its files, its descriptor under every call that copies or closes
 * descriptors, its commands, doorbells and events.
 */
#include "harness.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <poll.h>
#include <pthread.h>
#include <spawn.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define SYSFS "/sys/class/infiniband_verbs/uverbs0"

static void files_are_found(void)
{
	char text[64] = "", path[PATH_MAX];
	struct dirent **names;
	struct statx sx;
	struct stat st;
	glob_t found;
	DIR *d;
	FILE *f;
	int fd;

	f = fopen(SYSFS "/ibdev", "r");
	CHECK(f && fgets(text, sizeof(text), f) && strcmp(text, "rxe0\n") == 0);
	fclose(f);
	CHECK((fd = openat(AT_FDCWD, "/sys//class/./infiniband_verbs/abi_version", O_RDONLY)) >= 0);
	CHECK(read(fd, text, 2) == 2 && text[0] == '6');
	close(fd);
	CHECK((d = opendir("/sys/class/infiniband")) && (fd = dirfd(d)) >= 0);
	CHECK((fd = openat(fd, "rxe0/node_type", O_RDONLY)) >= 0);
	close(fd);
	closedir(d);
	CHECK(scandir("/sys/class/infiniband", &names, NULL, alphasort) == 3);
	for (int i = 0; i < 3; i++)
		free(names[i]);
	free(names);
	CHECK(access(SYSFS "/dev", R_OK) == 0 && access(SYSFS "/none", R_OK) != 0);
	CHECK(access("/sys/class/infiniband_madness", F_OK) != 0);
	CHECK(realpath("/sys/class/infiniband/rxe0/../rxe0/ports", path));
	CHECK(strcmp(path, "/sys/class/infiniband/rxe0/ports") == 0);
	CHECK(glob("/sys/class/infiniband/*/ports/*", 0, NULL, &found) == 0 && found.gl_pathc == 1);
	CHECK(strcmp(found.gl_pathv[0], "/sys/class/infiniband/rxe0/ports/1") == 0);
	globfree(&found);
	CHECK(stat(DEVICE, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(231, 192));
	CHECK(lstat("/dev/char/231:192", &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(statx(AT_FDCWD, DEVICE, 0, STATX_BASIC_STATS, &sx) == 0);
	CHECK(S_ISCHR(sx.stx_mode) && sx.stx_rdev_major == 231 && sx.stx_rdev_minor == 192);
	CHECK(open("/dev/infiniband/umad0", O_RDWR) < 0 && errno == ENOENT);
	CHECK(socket(AF_NETLINK, SOCK_RAW, 20) < 0 && errno == EPROTONOSUPPORT);
}

static void descriptor_is_the_device(void)
{
	int fd = device(NULL), directory;
	struct statx sx;
	struct stat st;

	CHECK(fd < 10);
	CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode) && st.st_rdev == makedev(231, 192));
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && S_ISCHR(st.st_mode));
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &sx) == 0 && S_ISCHR(sx.stx_mode));
	CHECK(ioctl(fd, 0xc0181b01, NULL) < 0 && errno == ENOTTY);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC);
	CHECK((directory = open("/dev/infiniband", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK(fstatat(directory, "uverbs0", &st, 0) == 0 && S_ISCHR(st.st_mode));
	CHECK((fd = openat(directory, "uverbs0", O_RDWR)) >= 0);
	CHECK(fstat(fd, &st) == 0 && S_ISCHR(st.st_mode));
	CHECK(fcntl(fd, F_GETFD) == 0);
}

static void commands_are_checked(void)
{
	int fd = device(NULL);
	uint32_t bytes[8] = { 0 };
	uint64_t answer[6];
	struct mock_request request = { .header = { 0xe8, sizeof(request) / 4, 4 } };

	CHECK(alloc_pd(fd) > 0);
	CHECK(write(fd, bytes, 4) < 0 && errno == EINVAL);
	bytes[0] = IB_USER_VERBS_CMD_ALLOC_PD;
	bytes[1] = 3;
	CHECK(write(fd, bytes, 32) < 0 && errno == EINVAL);
	CHECK(mock(fd, 0xff, 0, 0, 0, NULL) == -EOPNOTSUPP);
	/* A response longer than its room, and descriptors not asked for. */
	memset(answer, 0x11, sizeof(answer));
	request.response = (uintptr_t)answer;
	CHECK(write(fd, &request, sizeof(request)) == sizeof(request));
	CHECK(answer[0] == 0x5a5a5a5a5a5a5a5a && answer[2] == 0x1111111111111111);
	CHECK(alloc_pd(fd) > 0);
	int before = count_fds();
	CHECK(mock(fd, MOCK_EXTRA_FDS, 0, 0, 0, NULL) == 0);
	CHECK(count_fds() == before);
}

static void nothing_leaks(void)
{
	uint64_t answer[4];
	int before, async;

	close(device(NULL));		/* the thread that waits for the router starts */
	before = count_fds();
	for (int i = 0; i < 50; i++) {
		int fd = device(&async), channel = create_channel(fd);

		CHECK(channel >= 0 && create_cq(fd, 1, 10, channel, NULL) > 0);
		CHECK(reg_mr(fd, malloc(100000), 100000, LOCAL_WRITE) > 0);
		close(channel);
		close(async);
		close(fd);
	}
	CHECK(count_fds() == before);
	before = device(NULL);
	usleep(20000);
	CHECK(mock(before, MOCK_STATS, 0, 0, 0, answer) == 0 && answer[0] == 1);
}

static void doorbells_ring(void)
{
	int fd = device(NULL), cq = create_cq(fd, 1, 10, -1, NULL);
	uint64_t answer[4];
	struct qp qp;

	CHECK(create_qp(fd, cq, cq, 0, &qp) == 0 && qp.handle < 64);
	CHECK(doorbell(fd, (uint32_t)qp.handle) == -EINVAL);
	CHECK(modify_qp(fd, qp.handle, 2) == 0 && doorbell(fd, (uint32_t)qp.handle) == -EINVAL);
	CHECK(modify_qp(fd, qp.handle, 3) == 0 && doorbell(fd, (uint32_t)qp.handle) == 0);
	CHECK(mock(fd, MOCK_BELLS, 0, 0, 0, answer) == 0);
	CHECK(answer[0] == 1ull << qp.handle && answer[1] == 1 && answer[2] == 1);
	for (int i = 0; i < 3; i++) /* the router has yet to look: woken once */
		CHECK(doorbell(fd, (uint32_t)qp.handle) == 0);
	CHECK(mock(fd, MOCK_BELLS, 0, 0, 0, answer) == 0);
	CHECK(answer[0] == 1ull << qp.handle && answer[1] == 1 && answer[2] == 1);
	CHECK(mock(fd, MOCK_POLL, 1, 0, 0, NULL) == 0);
	CHECK(doorbell(fd, (uint32_t)qp.handle) == 0);
	CHECK(mock(fd, MOCK_BELLS, 0, 0, 0, answer) == 0);
	CHECK(answer[0] == 1ull << qp.handle && answer[2] == 0);
	CHECK(doorbell(fd, 65536) == -EINVAL);
	CHECK(req_notify(fd, cq, true) == 0 && mock(fd, MOCK_ARMED, (uint64_t)cq, 0, 0, answer) == 0 && answer[0] == 1);
	CHECK(req_notify(fd, cq, false) == 0 && mock(fd, MOCK_ARMED, (uint64_t)cq, 0, 0, answer) == 0 && answer[0] == 2);
	CHECK(req_notify(fd, cq, true) == 0 && mock(fd, MOCK_ARMED, (uint64_t)cq, 0, 0, answer) == 0 && answer[0] == 2);
	CHECK(req_notify(fd, 777, false) == -EINVAL);
}

static double nanoseconds(int fd, void (*once)(int fd))
{
	enum { N = 300000 };
	double best = 1e9;

	for (int round = 0; round < 5; round++) {
		double start = now();

		for (int i = 0; i < N; i++)
			once(fd);
		if ((now() - start) * 1e9 / N < best)
			best = (now() - start) * 1e9 / N;
	}
	return best;
}

static uint32_t benchmarked;

static void ring_once(int fd)
{
	CHECK(doorbell(fd, benchmarked) == 0);
}

static void write_once(int fd)
{
	CHECK(write(fd, "", 1) == 1);
}

static void raw_write_once(int fd)
{
	CHECK(syscall(SYS_write, fd, "", 1) == 1);
}

static void doorbells_are_cheap(void)
{
	int fd = device(NULL), null = open("/dev/null", O_WRONLY), cq = create_cq(fd, 1, 3, -1, NULL);
	double pending, plain, raw;
	struct qp qp;

	CHECK(create_qp(fd, cq, cq, 0, &qp) == 0 && modify_qp(fd, qp.handle, 3) == 0);
	benchmarked = (uint32_t)qp.handle;
	pending = nanoseconds(fd, ring_once);
	plain = nanoseconds(null, write_once);
	raw = nanoseconds(null, raw_write_once);
	note("a doorbell that is pending: %.0f ns", pending);
	note("write() to /dev/null: %.0f ns, without the library %.0f ns", plain, raw);
	CHECK(pending < 2000);
}

static void duplicates_are_the_device(void)
{
	int fd = device(NULL), a = dup(fd), b = dup2(fd, 50), c = dup3(fd, 51, O_CLOEXEC);
	int d = fcntl(fd, F_DUPFD, 60), e = fcntl(fd, F_DUPFD_CLOEXEC, 61);
	struct stat st;

	CHECK(a > 0 && b == 50 && c == 51 && d == 60 && e == 61);
	CHECK(fcntl(c, F_GETFD) == FD_CLOEXEC && fcntl(d, F_GETFD) == 0);
	CHECK(close(fd) == 0 && alloc_pd(fd) == -EBADF);
	CHECK(alloc_pd(a) > 0 && alloc_pd(b) > 0 && alloc_pd(c) > 0 && alloc_pd(d) > 0 && alloc_pd(e) > 0);
	close(a);
	CHECK(dup2(0, b) == b && fstat(b, &st) == 0 && alloc_pd(b) < 0);
	close(c);
	close(d);
	CHECK(ring(e) == 0 && alloc_pd(e) > 0);
	CHECK(dup2(e, e) == e && alloc_pd(e) > 0);
	close(e);
	CHECK(alloc_pd(e) == -EBADF);
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

static void sweeps_spare_us(void)
{
	int fd = device(NULL), hidden = hidden_descriptor();

	CHECK(hidden > 0);
	CHECK(close(hidden) < 0 && errno == EBADF);
	CHECK(dup(hidden) < 0 && errno == EBADF);
	for (int i = fd + 1; i < 4096; i++)
		close(i);
	CHECK(alloc_pd(fd) > 0 && ring(fd) == 0);
	CHECK(close_range((unsigned int)fd + 1, ~0u, 0) == 0);
	CHECK(alloc_pd(fd) > 0 && ring(fd) == 0);
	closefrom(fd + 1);
	CHECK(alloc_pd(fd) > 0 && ring(fd) == 0);
	CHECK(close_range(100, 50, 0) < 0 && errno == EINVAL);
	closefrom(3);
	CHECK(alloc_pd(fd) == -EBADF && hidden_descriptor() != -1);	/* the waiting thread's pipe */
	fd = device(NULL);
	CHECK(alloc_pd(fd) > 0);
}

static void hidden_makes_way(void)
{
	int fd = device(NULL), moved = 0;

	for (int i = 0; i < 4096; i++) {
		char path[64];

		snprintf(path, sizeof(path), "/proc/self/fd/%d", i);
		if (i > 700 && access(path, F_OK) == 0 && moved < 20) {
			CHECK(dup2(1, i) == i);
			CHECK(close(i) == 0);
			moved++;
		}
	}
	CHECK(moved >= 5);
	CHECK(alloc_pd(fd) > 0 && ring(fd) == 0);
	CHECK(reg_mr(fd, malloc(1 << 20), 1 << 20, LOCAL_WRITE) > 0);
}

static void reused_numbers_are_verified(void)
{
	int fd = device(NULL), file = open("/tmp", O_TMPFILE | O_RDWR, 0600), async;
	char bytes[16] = "no command";
	struct stat st;

	CHECK(file >= 0);
	/* Behind the library's back. */
	CHECK(syscall(SYS_close, fd) == 0 && syscall(SYS_dup3, file, fd, 0) == fd);
	CHECK(fstat(fd, &st) == 0 && S_ISREG(st.st_mode));
	CHECK(write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
	CHECK(fstat(file, &st) == 0 && st.st_size == sizeof(bytes));

	fd = device(&async);
	CHECK(syscall(SYS_close_range, 3, ~0u, 0) == 0);
	CHECK((file = open("/tmp", O_TMPFILE | O_RDWR, 0600)) == 3);
	for (int i = 4; i < 20; i++)
		dup(file);
	CHECK(write(fd, bytes, sizeof(bytes)) == sizeof(bytes));
	CHECK(alloc_pd(fd) >= 0 || errno);	/* whatever, but no crash */
	fd = device(NULL);
	CHECK(alloc_pd(fd) > 0);
}

static void vfork_child_is_harmless(void)
{
	int fd = device(NULL), status;
	char *const arguments[] = { "true", NULL };
	posix_spawn_file_actions_t actions;
	pid_t child = vfork();

	if (child == 0) {
		close(fd);
		for (int i = 3; i < 4096; i++)
			close(i);
		closefrom(3);
		_exit(7);
	}
	CHECK(waitpid(child, &status, 0) == child && WEXITSTATUS(status) == 7);
	CHECK(alloc_pd(fd) > 0 && ring(fd) == 0);

	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addclosefrom_np(&actions, 3);
	CHECK(posix_spawnp(&child, "true", &actions, NULL, arguments, NULL) == 0);
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	CHECK(system("exit 3") == 3 << 8);
	CHECK(alloc_pd(fd) > 0 && ring(fd) == 0);
}

static void events_are_native(void)
{
	int async, fd = device(&async), channel = create_channel(fd), epoll = epoll_create1(0);
	int cq = create_cq(fd, 0xabcdef, 10, channel, NULL), other = dup(channel);
	int cq2 = create_cq(fd, 0x1234, 10, other, NULL);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 9 };
	uint64_t handle = 0;

	CHECK(cq > 0 && cq2 > 0 && fcntl(channel, F_GETFD) == FD_CLOEXEC);
	CHECK(create_cq(fd, 1, 10, 999, NULL) == -EBADF);
	CHECK(create_cq(fd, 1, 10, epoll, NULL) == -EBADF);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, channel, &event) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 0) == 0);
	CHECK(mock(fd, MOCK_EVENT, (uint64_t)cq, 0, 0, NULL) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 1000) == 1 && event.data.u64 == 9);
	CHECK(read(channel, &handle, sizeof(handle)) == 8 && handle == 0xabcdef);
	CHECK(fcntl(channel, F_SETFL, O_NONBLOCK) == 0);
	CHECK(read(channel, &handle, sizeof(handle)) < 0 && errno == EAGAIN);
	CHECK(mock(fd, MOCK_EVENT, (uint64_t)cq2, 0, 0, NULL) == 0);
	CHECK(read(other, &handle, sizeof(handle)) == 8 && handle == 0x1234);
}

struct worker { pthread_t thread; int fd; uint64_t wrong; };

static void *many_commands(void *argument)
{
	struct worker *worker = argument;

	for (uint64_t i = 0; i < 300; i++) {
		uint64_t answer[4];

		if (mock(worker->fd, MOCK_SLOW, i % 3, i, 0, answer) != 0 || answer[0] != i)
			worker->wrong++;
		doorbell(worker->fd, (uint32_t)i);	/* may be refused, may not race */
		close(dup(worker->fd));
	}
	return NULL;
}

static void threads_share_the_device(void)
{
	struct worker workers[6];
	int fd = device(NULL), before = count_fds();

	for (int i = 0; i < 6; i++) {
		workers[i] = (struct worker){ .fd = fd };
		CHECK(pthread_create(&workers[i].thread, NULL, many_commands, &workers[i]) == 0);
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK(workers[i].wrong == 0);
	}
	CHECK(count_fds() == before);
}

static void *cancelled(void *argument)
{
	for (;;)
		mock(*(int *)argument, MOCK_SLOW, 200, 0, 0, NULL);
	return NULL;
}

static void cancellation_leaves_no_lock(void)
{
	int fd = device(NULL);

	for (int i = 0; i < 30; i++) {
		pthread_t thread;

		CHECK(pthread_create(&thread, NULL, cancelled, &fd) == 0);
		usleep(1000);
		/* write() is a cancellation point; here it is none: a testcancel is. */
		pthread_cancel(thread);
		if (i == 0)
			usleep(1000);
		CHECK(alloc_pd(fd) > 0);
		pthread_detach(thread);
	}
	CHECK(alloc_pd(fd) > 0);
}

static void no_router_is_explained(void)
{
	char directory[] = "/tmp/freeflow-none-XXXXXX", text[512] = "", *line;
	int ends[2], stderr_copy = dup(2), watch;
	double start = now();

	CHECK(mkdtemp(directory) && pipe(ends) == 0);
	rmdir(directory);
	if (!getenv("AGAIN")) {
		setenv("AGAIN", "1", 1);
		setenv("FREEFLOW_RUN_DIR", directory, 1);
		execl("/proc/self/exe", "test", "no_router_is_explained", (char *)NULL);
	}
	dup2(ends[1], 2);
	CHECK(open(DEVICE, O_RDWR) < 0 && errno == ENODEV);
	CHECK(open(DEVICE, O_RDWR) < 0 && errno == ENODEV);
	CHECK((watch = inotify_init()) >= 0);
	CHECK(inotify_add_watch(watch, "/dev/char/", IN_CREATE) < 0 && errno == ENODEV);
	dup2(stderr_copy, 2);
	close(ends[1]);
	CHECK(read(ends[0], text, sizeof(text) - 1) > 0);
	CHECK(strncmp(text, "freeflow: router is not running", 31) == 0 && strstr(text, "freeflow up"));
	line = strchr(text, '\n');
	CHECK(line && line[1] == '\0');
	CHECK(now() - start < 1);
}

static const struct test tests[] = {
	TEST(files_are_found),
	TEST(descriptor_is_the_device),
	TEST(commands_are_checked),
	TEST(nothing_leaks),
	TEST(doorbells_ring),
	TEST(doorbells_are_cheap),
	TEST(duplicates_are_the_device),
	TEST(sweeps_spare_us),
	TEST(hidden_makes_way),
	TEST(reused_numbers_are_verified),
	TEST(vfork_child_is_harmless),
	TEST(events_are_native),
	TEST(threads_share_the_device),
	TEST(cancellation_leaves_no_lock),
	TEST(no_router_is_explained),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
