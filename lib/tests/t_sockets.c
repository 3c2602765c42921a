/*
 * Another library is preloaded behind ours (shim.c): it hears of what the
 * program does, and of nothing that we do of our own accord. If it is
 * librspreload.so, so to speak, then what that leaves out is seen to.
 */
#include "cmcalls.h"
#include "shim.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <unistd.h>

static struct shim *seen;

/* Starts the test anew with the library behind ours, if it is not there yet. */
static void with(const char *library, const char *test)
{
	char preload[4096];

	seen = dlsym(RTLD_DEFAULT, "shim");
	if (seen)
		return;
	snprintf(preload, sizeof(preload), "%s:%s/tests/%s", getenv("LD_PRELOAD"), getenv("TEST_BUILD"), library);
	setenv("LD_PRELOAD", preload, 1);
	execl("/proc/self/exe", "test", test, (char *)NULL);
	CHECK(!"exec");
}

static void preloads_behind_are_passed_by(void)
{
	int uverbs, fd, before;

	with("shim.so", __func__);
	before = seen->calls;
	uverbs = device(NULL);		/* closes the asynchronous events' descriptor, */
	close(uverbs);			/* and this one: of both it hears */
	fd = channel();
	CHECK(cm_mock(fd, MOCK_CM_POST, 1, NULL, 0) == 0 && cm_event(fd) == 1);
	CHECK(seen->other_sockets == 0 && seen->calls == before + 2);
	close(dup(0));
	CHECK(seen->calls == before + 3);
	CHECK(fcntl64(0, F_GETFD) == 0 && seen->fcntls == 1);
	CHECK(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) >= 0 && seen->other_sockets == 1);
	CHECK(seen->type == (SOCK_STREAM | SOCK_CLOEXEC) && seen->receive_buffer == 0);
}

static void it_is_bound_before_the_program_runs(void)
{
	with("rshim.so", __func__);
	CHECK(seen->fcntls >= 1);
}

static void streams_are_its_own_and_nothing_else_is(void)
{
	int fd;

	with("rshim.so", __func__);
	CHECK(socket(AF_UNIX, SOCK_STREAM, 0) >= 0 && socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0) >= 0);
	CHECK(socket(AF_NETLINK, SOCK_RAW, 0) >= 0 && seen->streams == 0 && seen->other_sockets == 0);
	CHECK((fd = socket(AF_INET, SOCK_STREAM, IPPROTO_TCP)) >= 0 && seen->streams == 1);
	CHECK(fcntl(fd, F_GETFD) == 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(seen->receive_buffer == 512 << 10 && seen->send_buffer == 256 << 10);
	CHECK((fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)) >= 0);
	CHECK(seen->streams == 2 && seen->type == SOCK_STREAM);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_UDP) < 0 && errno == EPROTONOSUPPORT);
}

static void what_it_leaves_out_is_seen_to(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr = { htonl(INADDR_LOOPBACK) } };
	socklen_t length = sizeof(address);
	struct timeval soon = { 0, 1000 };
	int listener, fd, on = 1;

	with("rshim.so", __func__);
	listener = socket(AF_INET, SOCK_STREAM, 0);
	CHECK(bind(listener, (struct sockaddr *)&address, length) == 0 && listen(listener, 1) == 0);
	CHECK(getsockname(listener, (struct sockaddr *)&address, &length) == 0);
	CHECK(connect(socket(AF_INET, SOCK_STREAM, 0), (struct sockaddr *)&address, length) == 0);
	fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	CHECK(fd >= 0 && seen->accepts == 1);
	CHECK(fcntl(fd, F_GETFD) == FD_CLOEXEC && (fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(accept4(listener, NULL, NULL, 1) < 0 && errno == EINVAL && seen->accepts == 1);
	CHECK(ioctl(listener, FIONBIO, &on) == 0 && (fcntl(listener, F_GETFL) & O_NONBLOCK));
	CHECK(accept4(listener, NULL, NULL, 0) < 0 && errno == EAGAIN);
	on = 0;
	CHECK(ioctl(fd, FIONBIO, &on) == 0 && !(fcntl(fd, F_GETFL) & O_NONBLOCK));
	CHECK(select(0, NULL, NULL, NULL, &soon) == 0);
}

static const struct test tests[] = {
	TEST(preloads_behind_are_passed_by),
	TEST(it_is_bound_before_the_program_runs),
	TEST(streams_are_its_own_and_nothing_else_is),
	TEST(what_it_leaves_out_is_seen_to),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
