/*
 * attack.c: what a container may try against the router and its neighbours.
 *
 *	attack scribble|commands|rings SECONDS
 *	hostile victim                    says its keys, and waits for its death
 *	hostile keys LKEY ADDRESS         uses somebody else's key on queue pairs of its own
 *
 * It says "at it" once it has begun, and what it did at the end.
 */
#include "check.h"
#include <sys/syscall.h>
#include <sys/un.h>

static uint64_t seed = 88172645463325252ull;

static uint64_t next_random(void)
{
	seed ^= seed << 13;
	seed ^= seed >> 7;
	return seed ^= seed << 17;
}

static void at_it(void)
{
	printf("at it\n");
	fflush(stdout);
}

/* The shared files that are mapped here, the library's own mapping of the doorbells among them. */
#define SHARED_MAX 64
static struct { uint8_t *start; size_t length; } shared[SHARED_MAX];
static int shared_count, doorbells = -1;

static void find_shared(void)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];

	while (maps && fgets(line, sizeof(line), maps) && shared_count < SHARED_MAX) {
		unsigned long start, end;

		if (!strstr(line, "memfd:freeflow") || sscanf(line, "%lx-%lx rw", &start, &end) != 2)
			continue;
		if (strstr(line, "doorbell"))
			doorbells = shared_count;
		shared[shared_count].start = (uint8_t *)start;
		shared[shared_count++].length = end - start;
	}
	if (maps)
		fclose(maps);
	if (shared_count < 3 || doorbells < 0)
		die("%d shared mappings found, doorbells %d", shared_count, doorbells);
}

/* The eventfds that wake workers, found as an attacker would. */
static int eventfds[64], eventfd_count;

static void find_eventfds(void)
{
	for (int fd = 3; fd < 20000 && eventfd_count < 64; fd++) {
		char path[64], target[64] = "";

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		if (readlink(path, target, sizeof(target) - 1) > 0 && strstr(target, "eventfd"))
			eventfds[eventfd_count++] = fd;
	}
	if (!eventfd_count)
		die("no eventfd found");
}

/* Raw: past the library, which would refuse. */
static void wake_workers(void)
{
	uint64_t one = 1;

	for (int i = 0; i < eventfd_count; i++)
		syscall(SYS_write, eventfds[i], &one, sizeof(one));
}

static void ring(uint32_t handle)
{
	uint64_t *bells = (uint64_t *)shared[doorbells].start;

	bells[0x1000 / 8 + handle / 64] |= 1ull << handle % 64;
	bells[0x80 / 8 + handle / 4096] |= 1ull << handle / 64 % 64;
}

static uint64_t plausible(void)
{
	switch (next_random() % 6) {
	case 0: return 0;
	case 1: return next_random() % 64;
	case 2: return 1ull << next_random() % 64;
	case 3: return ~0ull;
	case 4: return next_random() << 8 & 0xffffff00;
	}
	return next_random();
}

static int scribble(double seconds)
{
	struct side a, b;
	struct plan plan = { .depth = 64 };
	uint64_t rounds = 0;

	make_pair(&a, &b, &plan);
	find_shared();
	find_eventfds();
	at_it();
	for (double end = now() + seconds; now() < end; rounds++) {
		for (int n = 0; n < 2000; n++) {
			int i = (int)(next_random() % (unsigned)shared_count);
			/* Queues' beginnings, where the indices and first entries are, more often than the rest. */
			size_t span = next_random() % 2 ? 4096 : shared[i].length;
			uint64_t value = plausible();

			memcpy(shared[i].start + next_random() % (span - 8), &value, next_random() % 8 + 1);
		}
		ring(a.qp->handle);
		ring(b.qp->handle);
		wake_workers();
	}
	printf("scribbled %llu times 2000 values over %d mappings\n", (unsigned long long)rounds, shared_count);
	fflush(stdout);
	_exit(0);	/* the provider would trip over its queues */
}

static int raw_connection(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
	struct timeval limit = { .tv_usec = 100000 };

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/router.sock", getenv("FREEFLOW_RUN_DIR"));
	if (s < 0 || connect(s, (struct sockaddr *)&at, sizeof(at)) != 0) {
		if (s >= 0)
			close(s);
		return -1;
	}
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	return s;
}

/* A request with a header that is right more often than not. */
static ssize_t random_request(uint8_t *bytes)
{
	uint32_t length = (uint32_t)(next_random() % 400);
	uint32_t head[4] = { (uint32_t)(next_random() % 9), length, (uint32_t)next_random(), 0 };

	for (uint32_t i = 0; i < length + 16; i++)
		bytes[i] = (uint8_t)(next_random() % 4 ? 0 : next_random());
	if (next_random() % 8 == 0)
		head[1] = (uint32_t)next_random();
	memcpy(bytes, head, sizeof(head));
	if (head[0] == 1 || head[0] == 2)
		bytes[16] = 1;			/* the version */
	if (head[0] == 3 && length > 40) {	/* a uverbs command of some number */
		uint32_t command[4] = { length - 16, 0, (uint32_t)(next_random() % 45), 0 };

		command[3] = (uint32_t)((length - 16) / 4 | (next_random() % 64) << 16);
		memcpy(bytes + 24, command, sizeof(command));
	}
	return length + 16;
}

static int commands(double seconds)
{
	struct side a, b;
	struct plan plan = { .depth = 16 };
	uint8_t bytes[4096];
	uint64_t requests = 0, writes = 0, answers = 0;

	make_pair(&a, &b, &plan);
	at_it();
	for (double end = now() + seconds; now() < end;) {
		int s = raw_connection();

		for (int n = 0; s >= 0 && n < 200; n++) {
			if (send(s, bytes, (size_t)random_request(bytes), MSG_NOSIGNAL) < 0)
				break;
			requests++;
			if (next_random() % 4 && recv(s, bytes, sizeof(bytes), 0) > 0)
				answers++;
		}
		if (s >= 0)
			close(s);
		for (int n = 0; n < 200; n++) {
			uint32_t *command = (uint32_t *)(void *)bytes;
			size_t length = 8 + next_random() % 40 * 4;

			for (size_t i = 0; i < length; i++)
				bytes[i] = (uint8_t)(next_random() % 3 ? 0 : next_random());
			command[0] = (uint32_t)(next_random() % 45);
			command[1] = (uint32_t)(length / 4);	/* and no response: nothing here is written over */
			if (command[0] == 28)
				continue;
			if (length >= 16)
				memset(bytes + 8, 0, 8);
			writes += write(a.context->cmd_fd, bytes, length) > 0;
		}
	}
	printf("%llu requests, %llu answers, %llu commands taken\n", (unsigned long long)requests,
	       (unsigned long long)answers, (unsigned long long)writes);
	fflush(stdout);
	_exit(0);
}

static int rings(double seconds)
{
	struct side a, b;
	struct plan plan = { .depth = 16 };
	uint64_t count = 0;

	make_pair(&a, &b, &plan);
	find_shared();
	find_eventfds();
	at_it();
	for (double end = now() + seconds; now() < end;)
		for (int n = 0; n < 1000; n++, count++) {
			ring(a.qp->handle + (uint32_t)(count % 3));
			wake_workers();
		}
	printf("rang %llu times\n", (unsigned long long)count);
	return 0;
}

static int victim(void)
{
	struct side a;
	struct plan plan = { .depth = 16 };

	make_objects(&a, &plan);
	memset(a.memory, 0x5e, a.length);
	printf("key %u %llu\n", a.mr->lkey, (unsigned long long)(uintptr_t)a.memory);
	fflush(stdout);
	for (;;) {
		for (size_t i = 0; i < a.length; i++)
			if (a.memory[i] != 0x5e) {
				printf("my memory was written\n");
				return 1;
			}
		pause_ms(50);
	}
}

/* One try on a fresh pair: somebody else's key here and at the responder. The answer must be an error. */
static int try_key(uint32_t key, uint64_t address, enum ibv_wr_opcode opcode, bool as_local)
{
	struct side a, b;
	struct plan plan = { .depth = 4 };
	struct address to;
	struct request r;
	struct ibv_wc wc;

	make_pair(&a, &b, &plan);
	memset(a.memory, 0x11, a.length);
	to = address_of(&b);
	r = request(&a, 1, opcode, 0, 64, &to);
	if (as_local) {
		r.sge.lkey = key;
		r.sge.addr = address;
	} else {
		r.wr.wr.rdma.rkey = key;
		r.wr.wr.rdma.remote_addr = address;
	}
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	for (double end = now() + 5; ibv_poll_cq(a.send_cq, 1, &wc) == 0;)
		if (now() > end) {
			printf("no completion\n");
			return 1;
		}
	for (size_t i = 0; i < a.length; i++)
		if (a.memory[i] == 0x5e) {
			printf("somebody else's memory was read\n");
			return 1;
		}
	if (wc.status != (as_local ? IBV_WC_LOC_PROT_ERR : IBV_WC_REM_ACCESS_ERR)) {
		printf("key %u: %s\n", key, ibv_wc_status_str(wc.status));
		return 1;
	}
	destroy_side(&a);
	destroy_side(&b);
	return 0;
}

static int keys(uint32_t key, uint64_t address)
{
	int bad = 0;

	for (uint32_t tag = 0; tag < 4; tag++) {
		uint32_t guess = key + tag;

		bad |= try_key(guess, address, IBV_WR_RDMA_WRITE, true);
		bad |= try_key(guess, address, IBV_WR_RDMA_READ, true);
		bad |= try_key(guess, address, IBV_WR_RDMA_READ, false);
		bad |= try_key(guess, address, IBV_WR_RDMA_WRITE, false);
	}
	printf(bad ? "a key opened\n" : "no key opens\n");
	return bad;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	double seconds = argc > 2 ? atof(argv[2]) : 0;

	if (!strcmp(what, "scribble"))
		return scribble(seconds);
	if (!strcmp(what, "commands"))
		return commands(seconds);
	if (!strcmp(what, "rings"))
		return rings(seconds);
	if (!strcmp(what, "victim"))
		return victim();
	if (!strcmp(what, "keys") && argc == 4)
		return keys((uint32_t)strtoul(argv[2], NULL, 10), strtoull(argv[3], NULL, 10));
	die("usage: attack scribble|commands|rings SECONDS, victim, keys LKEY ADDRESS");
	return 2;
}
