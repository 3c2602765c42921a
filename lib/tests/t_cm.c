/*
 * The rdma_cm device: its files, its commands as they reach the router, and
 * its events.
 */
#include "cmcalls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

static bool is_rdma_cm(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == makedev(10, 60);
}

static void files_are_found(void)
{
	char text[16] = "";
	struct statx sx;
	struct stat st;
	FILE *f;

	f = fopen("/sys/class/misc/rdma_cm/abi_version", "r");
	CHECK(f && fgets(text, sizeof(text), f) && strcmp(text, "4\n") == 0);
	fclose(f);
	CHECK(stat(RDMA_CM, &st) == 0 && is_rdma_cm(&st));
	CHECK(lstat("/dev/char/10:60", &st) == 0 && is_rdma_cm(&st));
	CHECK(statx(AT_FDCWD, RDMA_CM, 0, STATX_BASIC_STATS, &sx) == 0);
	CHECK(S_ISCHR(sx.stx_mode) && sx.stx_rdev_major == 10 && sx.stx_rdev_minor == 60);
	CHECK(stat(DEVICE, &st) == 0 && st.st_rdev == makedev(231, 192));
	CHECK(access(RDMA_CM, R_OK | W_OK) == 0);
}

static void descriptor_is_the_device(void)
{
	int fd = channel(), directory, on = 1;
	struct statx sx;
	struct stat st;

	CHECK(fd < 10 && fcntl(fd, F_GETFD) == FD_CLOEXEC && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(fstat(fd, &st) == 0 && is_rdma_cm(&st));
	CHECK(fstatat(fd, "", &st, AT_EMPTY_PATH) == 0 && is_rdma_cm(&st));
	CHECK(statx(fd, "", AT_EMPTY_PATH, STATX_TYPE, &sx) == 0 && S_ISCHR(sx.stx_mode) && sx.stx_rdev_minor == 60);
	CHECK(ioctl(fd, 0xc0181b01, NULL) < 0 && errno == ENOTTY);
	CHECK(ioctl(fd, FIONBIO, &on) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK((fd = open("/dev/char/10:60", O_RDWR | O_NONBLOCK)) >= 0);
	CHECK(fcntl(fd, F_GETFD) == 0 && (fcntl(fd, F_GETFL) & O_NONBLOCK) && cm_id(fd) == 1);
	CHECK((directory = open("/dev/infiniband", O_RDONLY | O_DIRECTORY)) >= 0);
	CHECK((fd = openat(directory, "rdma_cm", O_RDWR)) >= 0 && cm_id(fd) == 1);
}

struct body { uint64_t inode, aux; uint32_t command_length, data_length; uint8_t bytes[4096]; };

/* What the router saw of the last command. */
static struct body seen(int fd)
{
	struct body body;

	CHECK(cm_mock(fd, MOCK_CM_LAST, 0, &body, sizeof(body)) == 0);
	return body;
}

static void commands_arrive_as_written(void)
{
	int fd = channel();
	struct { struct rdma_ucm_cmd_hdr header; struct rdma_ucm_reject core; char more[40]; } c = {
		.header = { RDMA_USER_CM_CMD_REJECT, sizeof(c.core), 0 }, .core = { .id = 7 } };
	struct body body;

	for (size_t i = 0; i < sizeof(c.core.private_data); i++)
		c.core.private_data[i] = (uint8_t)i;
	for (size_t in = sizeof(c.core) - 8; in <= sizeof(c.core); in++) {
		c.header.in = (uint16_t)in;
		CHECK(write(fd, &c, 8 + in) == (ssize_t)(8 + in));
		body = seen(fd);
		CHECK(body.command_length == 8 + in && memcmp(body.bytes, &c, 8 + in) == 0);
		CHECK(body.aux == 0 && body.data_length == 0 && body.inode != 0);
	}
	/* What follows the command is not part of it, but counts as written. */
	CHECK(write(fd, &c, sizeof(c)) == sizeof(c));
	body = seen(fd);
	CHECK(body.command_length == 8 + sizeof(c.core));
	c.header.cmd = 99;
	CHECK(write(fd, &c, sizeof(c)) < 0 && errno == EINVAL);
}

static void bad_commands_are_refused(void)
{
	int fd = channel();
	struct rdma_ucm_cmd_hdr header = { RDMA_USER_CM_CMD_LISTEN, 8, 0 };
	struct rdma_ucm_create_id create = { .uid = 1 };
	struct rdma_ucm_notify notify = { .event = EALREADY };

	CHECK(write(fd, &header, 4) < 0 && errno == EINVAL);
	CHECK(write(fd, &header, sizeof(header)) < 0 && errno == EINVAL);
	CHECK(cm_command(fd, RDMA_USER_CM_CMD_CREATE_ID, &create, 8, 4) == -EINVAL);
	CHECK(cm_command(fd, RDMA_USER_CM_CMD_NOTIFY, &notify, sizeof(notify), 0) == -EALREADY);
	CHECK(cm_id(fd) == 1);
}

/* The kernel's answer to a pointer that leads nowhere, and nothing is done. */
static void bad_pointers_are_refused(void)
{
	int fd = channel();
	char *pages = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct rdma_ucm_create_id create = { .uid = 1 };
	const uint64_t bad[] = { 0, 8, (uintptr_t)pages, (uintptr_t)pages + 4094, (uintptr_t)pages + 8192,
				 1ull << 47, 0xffffffffffffff00, 0xfffffffffffffffe };

	CHECK(mprotect(pages, 4096, PROT_READ) == 0 && mprotect(pages + 8192, 4096, PROT_NONE) == 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		create.response = bad[i];
		CHECK(cm_command(fd, RDMA_USER_CM_CMD_CREATE_ID, &create, sizeof(create), 4) == -EFAULT);
		CHECK(i == 2 || i == 3 || (write(fd, (void *)(uintptr_t)bad[i], 32) < 0 && errno == EFAULT));
	}
	create.response = (uintptr_t)pages + 8188;
	CHECK(cm_command(fd, RDMA_USER_CM_CMD_CREATE_ID, &create, sizeof(create), 4) == 0);
	CHECK(*(uint32_t *)(pages + 8188) == 1 && pages[8187] == 0);
	/* Of a command the parser looks at the beginning, the kernel at the rest. */
	memcpy(pages + 8192 - 64, &(struct rdma_ucm_cmd_hdr){ RDMA_USER_CM_CMD_REJECT, 264, 0 }, 8);
	CHECK(write(fd, pages + 8192 - 64, 272) < 0 && errno == EFAULT && cm_id(fd) == 2);
	CHECK(write(fd, (void *)(uintptr_t)bad[1], 4) < 0 && errno == EINVAL);
}

static void responses_stay_in_their_room(void)
{
	int fd = channel();
	uint8_t bytes[64];

	memset(bytes, 0x11, sizeof(bytes));
	CHECK(cm_mock(fd, MOCK_CM_LONG, 0, bytes, 20) == 0);
	for (size_t i = 0; i < sizeof(bytes); i++)
		CHECK(bytes[i] == (i < 20 ? 0x5a : 0x11));
	CHECK(cm_mock(fd, MOCK_CM_LONG, 0, NULL, 0) == 0);
	/* A short one leaves the rest of its room alone. */
	memset(bytes, 0x11, sizeof(bytes));
	CHECK(cm_mock(fd, MOCK_CM_SLOW, 3, bytes, sizeof(bytes)) == 0);
	CHECK(bytes[0] == 3 && bytes[4] == 0x11);
}

static int set_option(int fd, const void *value, uint32_t length)
{
	struct rdma_ucm_set_option c = { .optval = (uintptr_t)value, .id = 1, .optlen = length };

	return cm_command(fd, RDMA_USER_CM_CMD_SET_OPTION, &c, sizeof(c), 0);
}

static void options_travel_with_their_value(void)
{
	static uint8_t value[5000];
	int fd = channel();
	struct body body;

	for (size_t i = 0; i < sizeof(value); i++)
		value[i] = (uint8_t)(i * 7);
	CHECK(set_option(fd, value, 4) == 0);
	body = seen(fd);
	CHECK(body.command_length == 8 + sizeof(struct rdma_ucm_set_option) && body.data_length == 4);
	CHECK(memcmp(body.bytes + body.command_length, value, 4) == 0);
	CHECK(set_option(fd, value, 4000) == 0);
	body = seen(fd);
	CHECK(body.data_length == 4000 && memcmp(body.bytes + body.command_length, value, 4000) == 0);
	CHECK(set_option(fd, NULL, 0) == 0 && seen(fd).data_length == 0);
	CHECK(set_option(fd, value, 4096) == 0 && set_option(fd, value, 4097) == -EINVAL);
	CHECK(set_option(fd, NULL, 4) == -EFAULT && set_option(fd, (void *)(uintptr_t)-4096, 8) == -EFAULT);
	CHECK(cm_id(fd) == 1);
}

static void events_can_be_polled(void)
{
	int fd = channel(), epoll = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 9 };

	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0 && epoll_wait(epoll, &event, 1, 0) == 0);
	CHECK(!readable(fd) && cm_mock(fd, MOCK_CM_POST, 3, NULL, 0) == 0 && readable(fd));
	CHECK(epoll_wait(epoll, &event, 1, 0) == 1 && event.data.u64 == 9);
	for (int i = 1; i <= 3; i++)
		CHECK(readable(fd) && cm_event(fd) == i);
	CHECK(!readable(fd) && epoll_wait(epoll, &event, 1, 0) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && cm_event(fd) == -EAGAIN);
	CHECK(cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0 && cm_event(fd) == 4 && cm_event(fd) == -EAGAIN);
}

static void events_are_waited_for(void)
{
	int fd = channel();

	CHECK(cm_mock(fd, MOCK_CM_POST_LATER, 50, NULL, 0) == 0 && cm_event(fd) == 1 && !readable(fd));
}

/* No token is lost for want of room. */
static void events_need_room(void)
{
	struct rdma_ucm_event_resp r;
	struct rdma_ucm_get_event c = { .response = (uintptr_t)&r };
	const size_t least = offsetof(struct rdma_ucm_event_resp, reserved);
	int fd = channel();

	CHECK(cm_mock(fd, MOCK_CM_POST, 2, NULL, 0) == 0);
	CHECK(cm_command(fd, RDMA_USER_CM_CMD_GET_EVENT, &c, sizeof(c), least - 1) == -ENOSPC);
	CHECK(cm_command(fd, RDMA_USER_CM_CMD_GET_EVENT, &c, sizeof(c), least) == 0 && r.uid == 1);
	CHECK(cm_event(fd) == 2);
}

static void withdrawn_events_leave_no_token(void)
{
	int fd = channel();

	CHECK(cm_mock(fd, MOCK_CM_POST, 5, NULL, 0) == 0);
	CHECK(cm_destroy(fd, 3) == 3 && cm_event(fd) == 4 && readable(fd));
	CHECK(cm_destroy(fd, 9) == 1 && !readable(fd));
	CHECK(cm_destroy(fd, 1) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && cm_event(fd) == -EAGAIN);
	CHECK(cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0 && cm_event(fd) == 6);
}

static void migrated_events_take_their_tokens_along(void)
{
	int old = channel(), new = channel(), copy = dup(old), uverbs = device(NULL);
	struct body body;
	uint64_t inode;

	CHECK(cm_id(old) == 1 && (inode = seen(old).inode) != 0);
	CHECK(cm_id(new) == 1 && seen(new).inode != inode);
	CHECK(cm_mock(old, MOCK_CM_POST, 3, NULL, 0) == 0);
	CHECK(cm_migrate(new, copy, 2) == 2);
	body = seen(new);
	CHECK(body.aux == inode && body.inode != inode);
	CHECK(cm_event(new) == 1 && cm_event(new) == 2 && !readable(new));
	CHECK(cm_event(old) == 3 && !readable(old));
	CHECK(cm_migrate(new, 999, 1) == -EBADF && cm_migrate(new, -1, 1) == -EBADF);
	CHECK(cm_migrate(new, 0, 1) == -EINVAL && cm_migrate(new, uverbs, 1) == -EINVAL);
	CHECK(cm_migrate(new, new, 1) == 0);
}

/* As if another process had had the event withdrawn in between. */
static void a_token_without_event_is_passed_over(void)
{
	int fd = channel();

	CHECK(cm_mock(fd, MOCK_CM_FALSE_TOKEN, 0, NULL, 0) == 0);
	CHECK(cm_mock(fd, MOCK_CM_POST_LATER, 50, NULL, 0) == 0);
	CHECK(cm_event(fd) == 1 && !readable(fd));
	CHECK(cm_mock(fd, MOCK_CM_FALSE_TOKEN, 0, NULL, 0) == 0);
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0 && cm_event(fd) == -EAGAIN);
}

static volatile sig_atomic_t signals;

static void count_signal(int number)
{
	signals += number > 0;
}

static void *interrupt(void *thread)
{
	while (signals < 3) {
		usleep(5000);
		pthread_kill(*(pthread_t *)thread, SIGUSR1);
	}
	return NULL;
}

static void waiting_is_interrupted_as_a_call_is(void)
{
	int fd = channel();
	struct sigaction action = { .sa_handler = count_signal };
	pthread_t self = pthread_self(), thread;

	sigaction(SIGUSR1, &action, NULL);
	CHECK(pthread_create(&thread, NULL, interrupt, &self) == 0);
	CHECK(cm_event(fd) == -EINTR);
	while (signals < 3)
		usleep(1000);
	pthread_join(thread, NULL);

	signals = 0;
	action.sa_flags = SA_RESTART;
	sigaction(SIGUSR1, &action, NULL);
	CHECK(cm_mock(fd, MOCK_CM_POST_LATER, 100, NULL, 0) == 0);
	CHECK(pthread_create(&thread, NULL, interrupt, &self) == 0);
	CHECK(cm_event(fd) == 1);
	pthread_join(thread, NULL);
}

static void *wait_for_ever(void *fd)
{
	cm_event(*(int *)fd);
	return NULL;
}

static void *wait_late(void *fd)
{
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, NULL);
	while (readable(*(int *)fd) == 0)
		usleep(1000);
	pthread_setcancelstate(PTHREAD_CANCEL_ENABLE, NULL);
	cm_event(*(int *)fd);
	return NULL;
}

static void waiting_can_be_cancelled(void)
{
	int fd = channel();
	sigset_t before = { 0 }, after = { 0 };
	pthread_t thread;
	void *result;

	pthread_sigmask(SIG_BLOCK, NULL, &before);
	for (int i = 0; i < 20; i++) {
		CHECK(pthread_create(&thread, NULL, wait_for_ever, &fd) == 0);
		if (i % 2)
			usleep(2000);
		CHECK(pthread_cancel(thread) == 0 && pthread_join(thread, &result) == 0);
		CHECK(result == PTHREAD_CANCELED && cm_id(fd) == i + 1);
	}
	/* One that comes before the call takes no event along. */
	CHECK(pthread_create(&thread, NULL, wait_late, &fd) == 0);
	pthread_cancel(thread);
	CHECK(cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0);
	CHECK(pthread_join(thread, &result) == 0 && result == PTHREAD_CANCELED);
	CHECK(cm_event(fd) == 1);
	pthread_sigmask(SIG_BLOCK, NULL, &after);
	CHECK(memcmp(&before, &after, sizeof(before)) == 0);
}

struct worker { pthread_t thread; int fd, shared; int64_t sum; uint64_t wrong; };

/* Commands while others wait; each event comes to one of the waiting. */
static void *work(void *argument)
{
	struct worker *w = argument;

	for (uint32_t i = 0; i < 200; i++) {
		uint32_t answer = 0;

		w->wrong += cm_mock(w->fd, MOCK_CM_SLOW, i % 3, &answer, sizeof(answer)) != 0 || answer != i % 3;
		w->wrong += cm_mock(w->shared, MOCK_CM_POST, 1, NULL, 0) != 0;
		w->sum += cm_event(w->shared);
		w->wrong += cm_destroy(w->fd, 1) != 0;
		close(dup(w->shared));
	}
	return NULL;
}

static void threads_share_a_channel(void)
{
	struct worker workers[6];
	int shared = channel(), before;
	int64_t sum = 0;

	before = count_fds();
	for (int i = 0; i < 6; i++) {
		workers[i] = (struct worker){ .fd = channel(), .shared = shared };
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	}
	for (int i = 0; i < 6; i++) {
		pthread_join(workers[i].thread, NULL);
		CHECK(workers[i].wrong == 0);
		sum += workers[i].sum;
		close(workers[i].fd);
	}
	CHECK(sum == 1200 * 1201 / 2 && !readable(shared) && count_fds() == before);
}

static void *wait_for_events(void *argument)
{
	struct worker *w = argument;

	for (int event; (event = cm_event(w->shared)) >= 0; w->sum++)
		;
	return NULL;
}

/* One destroys ids with events while others wait for those: none sleeps on. */
static void withdrawal_among_threads(void)
{
	struct worker workers[3];
	int fd = channel(), taken = 0, given = 0;

	for (int i = 0; i < 3; i++) {
		workers[i] = (struct worker){ .shared = fd };
		CHECK(pthread_create(&workers[i].thread, NULL, wait_for_events, &workers[i]) == 0);
	}
	for (uint32_t i = 0; i < 500; i++) {
		CHECK(cm_mock(fd, MOCK_CM_POST, i % 4 + 1, NULL, 0) == 0);
		given += (int)(i % 4 + 1);
		taken += cm_destroy(fd, i % 3 + 1);
		while (cm_stats(fd).waiting > 32)
			usleep(100);
	}
	while (cm_stats(fd).waiting > 0)
		usleep(1000);
	usleep(10000);
	for (int i = 0; i < 3; i++) {
		pthread_cancel(workers[i].thread);
		pthread_join(workers[i].thread, NULL);
		taken += (int)workers[i].sum;
	}
	CHECK(taken == given && !readable(fd));
}

static const struct test tests[] = {
	TEST(files_are_found),
	TEST(descriptor_is_the_device),
	TEST(commands_arrive_as_written),
	TEST(bad_commands_are_refused),
	TEST(bad_pointers_are_refused),
	TEST(responses_stay_in_their_room),
	TEST(options_travel_with_their_value),
	TEST(events_can_be_polled),
	TEST(events_are_waited_for),
	TEST(events_need_room),
	TEST(withdrawn_events_leave_no_token),
	TEST(migrated_events_take_their_tokens_along),
	TEST(a_token_without_event_is_passed_over),
	TEST(waiting_is_interrupted_as_a_call_is),
	TEST(waiting_can_be_cancelled),
	TEST(threads_share_a_channel),
	TEST(withdrawal_among_threads),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
