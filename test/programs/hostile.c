/*
 * hostile.c: programs that wish the router ill.
 *
 *	hostile scribble SECONDS	random bytes over every byte shared with the router, while posting
 *	hostile commands SECONDS	random datagrams to its socket, and random commands
 *	hostile ring SECONDS		doorbells without end
 *	hostile scan ADDRESS		every key of the lower range, for memory of somebody else at ADDRESS
 *
 * None of them expects anything of what it does, but that it is refused.
 */
#include "check.h"
#include <dirent.h>
#include <pthread.h>
#include <rdma/ib_user_verbs.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>

static double end_of_work;
static volatile bool over;

static __thread uint64_t random_state;

static uint64_t random64(void)
{
	uint64_t x = random_state ? random_state : (uint64_t)(now() * 1e9) ^ (uintptr_t)&random_state;

	x ^= x << 13;
	x ^= x >> 7;
	x ^= x << 17;
	return random_state = x;
}

static bool working(void)
{
	if (now() > end_of_work)
		over = true;
	return !over;
}

/* Queue pairs of every type, connected to each other and with work. */
#define PAIRS 4
static struct side sides[2 * PAIRS];
static struct address addresses[2 * PAIRS];

static void make_sides(void)
{
	enum ibv_qp_type types[PAIRS] = { IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD, IBV_QPT_RC };

	for (int i = 0; i < 2 * PAIRS; i++) {
		struct plan plan = { .type = types[i / 2], .length = 1 << 20, .inline_size = 64, .srq = types[i / 2] == IBV_QPT_RC && i > 2 };

		make_objects(&sides[i], &plan);
		addresses[i] = address_of(&sides[i]);
	}
	for (int i = 0; i < 2 * PAIRS; i++) {
		struct plan plan = { 0 };

		connect_side(&sides[i], &plan, &addresses[i ^ 1]);
	}
}

static void revive(struct side *side, const struct address *to)
{
	struct ibv_qp_attr reset = { .qp_state = IBV_QPS_RESET };
	struct plan plan = { 0 };

	if (ibv_modify_qp(side->qp, &reset, IBV_QP_STATE) == 0 && to_init(side, &plan) == 0 && to_rtr(side, &plan, to) == 0)
		(void)!to_rts(side, &plan);
}

static void post_anything(int i)
{
	static const enum ibv_wr_opcode opcodes[] = { IBV_WR_SEND, IBV_WR_SEND_WITH_IMM, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ,
						      IBV_WR_ATOMIC_FETCH_AND_ADD, IBV_WR_RDMA_WRITE_WITH_IMM };
	struct request r = request(&sides[i], random64(), opcodes[random64() % 6], 0, (uint32_t)(random64() % 4096), &addresses[i ^ 1]);

	if (sides[i].qp->qp_type == IBV_QPT_UD)
		r.wr.opcode = IBV_WR_SEND;
	if (sides[i].qp->qp_type != IBV_QPT_UD)	/* the provider would follow a pointer of ours */
		(void)!post(&sides[i], &r);
	(void)!post_recv(&sides[i ^ 1], 1, 0, (uint32_t)(random64() % 8192));
}

/* What is mapped of files that the router shares with us. */
struct range { uint8_t *start; size_t length; };
static struct range ranges[256];
static int nranges;

static void find_shared(void)
{
	char line[512];
	FILE *maps = fopen("/proc/self/maps", "r");

	nranges = 0;
	while (maps && fgets(line, sizeof(line), maps)) {
		unsigned long from, to;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s", &from, &to, rights) == 3 && rights[1] == 'w' && rights[3] == 's' &&
		    strstr(line, "memfd:") && nranges < 256)
			ranges[nranges++] = (struct range){ (uint8_t *)from, to - from };
	}
	if (maps)
		fclose(maps);
}

/* Maps whole files that are shared, whatever of them we were to see. */
static void map_files(void)
{
	DIR *fds = opendir("/proc/self/fd");
	struct dirent *entry;

	while (fds && (entry = readdir(fds))) {
		int fd = atoi(entry->d_name);
		struct stat status;
		char path[64], name[128];
		ssize_t n;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		n = readlink(path, name, sizeof(name) - 1);
		if (n <= 0)
			continue;
		name[n] = 0;
		if (!strstr(name, "memfd:") || fstat(fd, &status) != 0 || status.st_size == 0)
			continue;
		/* Sealed: what the router maps does not go away under it. */
		EXPECT(ftruncate(fd, 0) != 0, "%s shrinks", name);
		(void)!fcntl(fd, F_ADD_SEALS, F_SEAL_FUTURE_WRITE);
		(void)!fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, status.st_size);
		mmap(NULL, (size_t)status.st_size > (64u << 20) ? 64u << 20 : (size_t)status.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	}
	if (fds)
		closedir(fds);
	find_shared();
	EXPECT(nranges >= 3, "found %d shared ranges", nranges);
}

static uint64_t interesting(void)
{
	static const uint64_t values[] = { 0, 1, ~0ull, 0x7fffffff, 0x80000000, 0xffffffff, 1ull << 63, 383, 384, 385, 64, 65536 };

	return random64() % 2 ? values[random64() % 12] : random64();
}

static void *scribble(void *argument)
{
	(void)argument;
	while (working())
		for (int i = 0; i < 20000; i++) {
			const struct range *range = &ranges[random64() % (uint64_t)nranges];
			uint64_t value = interesting();
			size_t at = random64() % range->length;

			if (random64() % 2)	/* headers and first slots */
				at = at / 4096 * 4096 + random64() % 1024;
			at &= ~7ull;
			if (at + 8 > range->length)
				continue;
			memcpy(range->start + at, &value, 1u << random64() % 4);
		}
	return NULL;
}

/* A fault here is what we have done to our own provider. */
static void fault(int signal)
{
	(void)signal;
	_exit(0);
}

static void poster(void)
{
	make_sides();
	map_files();
	signal(SIGSEGV, fault);
	signal(SIGBUS, fault);
	signal(SIGFPE, fault);
	signal(SIGABRT, fault);
	alarm((unsigned)(end_of_work - now()) + 2);
	signal(SIGALRM, fault);		/* the provider loops in what we wrote */
	report("shared_files_are_sealed");
	{
		pthread_t thread;

		pthread_create(&thread, NULL, scribble, NULL);
	}
	while (working()) {
		int i = (int)(random64() % (2 * PAIRS));

		for (int k = 0; k < 50; k++)
			post_anything(i);
		if (random64() % 4 == 0)
			revive(&sides[i], &addresses[i ^ 1]);
	}
	_exit(failures != 0);
}

/* What we do to ourselves ends a poster soon; the next one follows. */
static void do_scribble(void)
{
	int posters = 0;

	while (working()) {
		pid_t child = fork();
		int status;

		if (child == 0)
			poster();
		if (child < 0)
			die("fork");
		waitpid(child, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status))
			failures++;
		posters++;
	}
	printf("%d posters ended\n", posters);
}

static int connect_router(void)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };
	const char *dir = getenv("FREEFLOW_RUN_DIR");
	int s = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	snprintf(at.sun_path, sizeof(at.sun_path), "%s/router.sock", dir ? dir : "/run/freeflow");
	if (connect(s, (struct sockaddr *)&at, sizeof(at)) != 0) {
		close(s);
		return -1;
	}
	return s;
}

struct message { uint32_t op, length; uint64_t seq; uint8_t body[4096]; };

/* Takes answers with their descriptors, and waits for one if asked. */
static void take_answers(int s, bool wait)
{
	char bytes[4096], control[CMSG_SPACE(64 * sizeof(int))];
	struct iovec vector = { bytes, sizeof(bytes) };

	if (wait) {
		struct pollfd polled = { s, POLLIN, 0 };

		poll(&polled, 1, 100);
	}
	for (;;) {
		struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

		if (recvmsg(s, &m, MSG_DONTWAIT | MSG_CMSG_CLOEXEC) <= 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&m); c; c = CMSG_NXTHDR(&m, c))
			if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SCM_RIGHTS)
				for (size_t i = 0; i < (c->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
					close(((int *)(void *)CMSG_DATA(c))[i]);
	}
}

/* A datagram that begins like a good one, more or less. */
static size_t random_message(struct message *m)
{
	size_t length = random64() % (random64() % 4 ? 128 : sizeof(m->body));

	for (size_t i = 0; i + 8 <= sizeof(m->body) && i < length + 8; i += 8) {
		uint64_t value = random64() % 3 ? random64() % 64 : interesting();

		memcpy(m->body + i, &value, 8);
	}
	m->op = (uint32_t)(random64() % 8 ? 1 + random64() % 7 : random64());
	m->length = (uint32_t)(random64() % 8 ? length : random64());
	m->seq = random64();
	if (m->op == 1) {	/* OPEN: often a good one */
		uint32_t version[2] = { random64() % 4 ? 1 : (uint32_t)random64(), 0 };

		memcpy(m->body, version, 8);
		m->length = 8;
		length = 8;
	}
	if (m->op == 3 && random64() % 8) {	/* COMMAND: a header that fits */
		uint32_t words[2] = { (uint32_t)(length > 16 ? length - 16 : 0), 0 };
		uint16_t sizes[2] = { (uint16_t)(words[0] / 4), (uint16_t)(random64() % 200) };
		uint32_t command = (uint32_t)(random64() % 60) | (random64() % 8 ? 0 : 0x80000000u);

		memcpy(m->body + 8, words, 8);
		memcpy(m->body + 16, &command, 4);
		memcpy(m->body + 20, sizes, 4);
	}
	return 16 + length;
}

static void send_with_fd(int s, const void *bytes, size_t length, int fd)
{
	char control[CMSG_SPACE(sizeof(int))] = { 0 };
	struct iovec vector = { (void *)(uintptr_t)bytes, length };
	struct msghdr m = { .msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };
	struct cmsghdr *c = CMSG_FIRSTHDR(&m);

	c->cmsg_level = SOL_SOCKET;
	c->cmsg_type = SCM_RIGHTS;
	c->cmsg_len = CMSG_LEN(sizeof(int));
	memcpy(CMSG_DATA(c), &fd, sizeof(int));
	sendmsg(s, &m, MSG_NOSIGNAL | MSG_DONTWAIT);
}

static void *random_datagrams(void *argument)
{
	static __thread struct message m;

	(void)argument;
	while (working()) {
		int s = connect_router(), held[8];
		bool opened = random64() % 4 != 0;

		if (s < 0) {
			pause_ms(1);
			continue;
		}
		if (opened) {
			uint32_t open[6] = { 1, 8, 0, 0, 1, 0 };

			send(s, open, sizeof(open), MSG_NOSIGNAL);
			take_answers(s, true);
		}
		for (int i = 0; i < 200; i++) {
			size_t length = random_message(&m);

			if (random64() % 50 == 0)
				send_with_fd(s, &m, length, 0);
			else if (send(s, &m, length, MSG_NOSIGNAL) < 0 && errno != EAGAIN)
				break;
			if (i % 8 == 0)
				take_answers(s, false);
		}
		for (int i = 0; i < 8; i++)	/* some that say nothing */
			held[i] = connect_router();
		take_answers(s, random64() % 2);
		close(s);
		for (int i = 0; i < 8; i++)
			if (held[i] >= 0)
				close(held[i]);
	}
	return NULL;
}

/* Commands as a program writes them, but random: through the library. */
static void random_writes(void)
{
	static uint8_t bytes[65536];
	uint8_t answer[4096];

	while (working()) {
		struct ibv_context *context = open_device();

		for (int i = 0; i < 500; i++) {
			size_t length = 8 + random64() % (random64() % 8 ? 120 : 4000);
			struct ib_uverbs_cmd_hdr header = { .command = (uint32_t)(random64() % 60), .in_words = (uint16_t)(length / 4),
							    .out_words = (uint16_t)(random64() % 8 ? 256 : random64() % 1024) };
			uint64_t pointer = (uintptr_t)answer;

			length &= ~3ull;
			for (size_t k = 0; k + 8 < length; k += 8) {
				uint64_t value = random64() % 3 ? random64() % 16 : interesting();

				memcpy(bytes + k, &value, 8);
			}
			if (random64() % 8 == 0)
				header.command |= 0x80000000u;
			if (random64() % 16 == 0)
				header.in_words = (uint16_t)random64();
			if (header.command == IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL || header.command == IB_USER_VERBS_CMD_GET_CONTEXT)
				continue;	/* our own descriptors would run out */
			memcpy(bytes, &header, sizeof(header));
			memcpy(bytes + 8, &pointer, 8);
			(void)!write(context->cmd_fd, bytes, length);
		}
		ibv_close_device(context);
	}
}

static void do_commands(void)
{
	pthread_t threads[2];

	signal(SIGPIPE, SIG_IGN);
	for (int i = 0; i < 2; i++)
		pthread_create(&threads[i], NULL, random_datagrams, NULL);
	random_writes();
	for (int i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
}

/* Rings by the command, and by every eventfd there is. */
static void do_ring(void)
{
	struct ib_uverbs_post_send doorbell = { .wr_count = 0 };
	struct {
		struct ib_uverbs_cmd_hdr header;
		struct ib_uverbs_post_send command;
	} bytes = { { IB_USER_VERBS_CMD_POST_SEND, sizeof(bytes) / 4, 4 }, doorbell };
	DIR *fds = opendir("/proc/self/fd");
	struct dirent *entry;
	int wakers[256], n = 0;
	uint64_t rung = 0;

	make_sides();
	while (fds && (entry = readdir(fds)) && n < 256) {
		char path[64], name[128];
		ssize_t k;

		snprintf(path, sizeof(path), "/proc/self/fd/%d", atoi(entry->d_name));
		k = readlink(path, name, sizeof(name) - 1);
		if (k > 0) {
			name[k] = 0;
			if (strstr(name, "eventfd"))
				wakers[n++] = atoi(entry->d_name);
		}
	}
	if (fds)
		closedir(fds);
	EXPECT(n > 0, "found no eventfd");
	while (working())
		for (int i = 0; i < 1000; i++) {
			uint64_t one = random64() % 100 ? 1 : ~0ull - 1;
			struct side *side = &sides[i % (2 * PAIRS)];

			bytes.command.qp_handle = side->qp->handle;
			(void)!write(side->context->cmd_fd, &bytes, sizeof(bytes));
			if (n && i % 4 == 0)
				(void)!write(wakers[i / 4 % n], &one, 8);
			rung++;
		}
	printf("rung %llu times\n", (unsigned long long)rung);
	report("ring");
}

/*
 * Somebody else's memory. Keys stand for the machine's memory regions; none
 * but our own may work, whether they are shown by us as local keys, or to us
 * as remote ones.
 */
#define INDICES 1024

static bool ours(uint32_t key, const struct side *a, const struct side *b)
{
	return key == a->mr->lkey || key == a->mr->rkey || key == b->mr->lkey || key == b->mr->rkey;
}

static void scan_remote(uint64_t target)
{
	struct plan plan = { .type = IBV_QPT_UC, .depth = 256, .cqe = 4096 };	/* polled less often than it fills */
	struct address to;
	struct side a, b;
	uint64_t tried = 0, answered = 0;
	struct ibv_wc wc;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	memset(a.memory, 0x66, 64);
	for (uint32_t key = 0; key < INDICES * 256; key++) {
		struct request r;

		if (ours(key, &a, &b))
			continue;
		to.rkey = key;
		to.memory = target;
		r = request(&a, key, IBV_WR_RDMA_WRITE, 0, 8, &to);
		while (post(&a, &r) != 0 && answered < tried)
			if (ibv_poll_cq(a.send_cq, 1, &wc) == 1)
				answered++;
		tried++;
		while (ibv_poll_cq(a.send_cq, 1, &wc) == 1) {
			answered++;
			EXPECT(wc.status == IBV_WC_SUCCESS, "key %#x: %s", (uint32_t)wc.wr_id, ibv_wc_status_str(wc.status));
		}
	}
	while (answered < tried && next_wc(a.send_cq, &wc, 5))
		answered++;
	EXPECT(answered == tried, "%llu of %llu answers", (unsigned long long)answered, (unsigned long long)tried);
	destroy_pair(&a, &b);	/* whether anything was written is seen by whose it is */
}

/* Reads need RC, where each refusal ends the connection: so only a part of the keys. */
static void scan_reads(uint64_t target)
{
	struct address at_a, at_b;
	struct plan plan = { 0 };
	struct side a, b;

	make_pair(&a, &b, &plan);
	at_a = address_of(&a);
	at_b = address_of(&b);
	for (uint32_t i = 0; i < 4096 && !failure[0]; i++) {
		uint32_t key = i % 2 ? (i / 2 % 64) << 8 | i / 128 % 256 : (uint32_t)(random64() % (INDICES * 256));
		struct address to = at_b;
		struct request r;

		if (ours(key, &a, &b))
			continue;
		to.rkey = key;
		to.memory = target;
		memset(a.memory, 0, 64);
		r = request(&a, 1, IBV_WR_RDMA_READ, 0, 64, &to);
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
		EXPECT_WC(a.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
		for (int k = 0; k < 64; k++)
			EXPECT(a.memory[k] == 0, "key %#x reads", key);
		revive(&a, &at_b);
		revive(&b, &at_a);
	}
	destroy_pair(&a, &b);
}

static void scan_local(uint64_t target)
{
	struct plan plan = { .type = IBV_QPT_UC };
	struct ibv_qp_attr rts = { .qp_state = IBV_QPS_RTS };
	struct address to;
	struct side a, b;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	for (uint32_t i = 0; i < 8192 && !failure[0]; i++) {
		uint32_t key = i % 2 ? (i / 2 % 64) << 8 | i / 128 % 256 : (uint32_t)(random64() % (INDICES * 256));
		struct request r;

		if (ours(key, &a, &b))
			continue;
		r = request(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &to);
		r.sge.lkey = key;
		r.sge.addr = target;
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
		EXPECT_WC(a.send_cq, 1, IBV_WC_LOC_PROT_ERR);
		EXPECT(ibv_modify_qp(a.qp, &rts, IBV_QP_STATE) == 0, "to RTS");
	}
	destroy_pair(&a, &b);
}

/* Another's queue pair does not listen to ours. */
static void scan_queue_pairs(uint64_t target)
{
	union ibv_gid gid = { .raw = { [10] = 0xff, 0xff } };
	const char *ip = getenv("VICTIM_IP");
	struct plan plan = { .timeout = 1, .retry_cnt = 1 };

	(void)target;
	if (!ip || inet_pton(AF_INET, ip, gid.raw + 12) != 1)
		return;
	for (uint32_t qpn = 16; qpn < 80; qpn++) {
		struct address to = { .qpn = qpn, .gid = gid, .rkey = 0x100, .memory = target };
		struct request r;
		struct side a;

		make_objects(&a, &plan);
		if (qpn != a.qp->qp_num) {
			connect_side(&a, &plan, &to);
			r = request(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &to);
			EXPECT(post(&a, &r) == 0, "ibv_post_send");
			EXPECT_WC(a.send_cq, 1, IBV_WC_RETRY_EXC_ERR);
		}
		destroy_side(&a);
	}
}

/* Joining somebody's context takes its secret. */
static void join_contexts(uint64_t target)
{
	(void)target;
	for (uint64_t id = 0; id < 64; id++) {
		struct {
			uint32_t op, length;
			uint64_t seq;
			uint32_t version, flags;
			uint64_t context;
			uint8_t token[16];
		} join = { 2, 32, 1, 1, 0, id, { 0 } };
		uint32_t answer[64] = { 0 };
		struct pollfd polled;
		int s = connect_router();

		if (!EXPECT(s >= 0, "connect"))
			return;
		polled = (struct pollfd){ s, POLLIN, 0 };
		send(s, &join, sizeof(join), MSG_NOSIGNAL);
		EXPECT(poll(&polled, 1, 5000) == 1, "no answer");
		if (recv(s, answer, sizeof(answer), 0) > 0)
			EXPECT(answer[2] == EACCES, "JOIN of context %llu: %u", (unsigned long long)id, answer[2]);
		close(s);
	}
}

int main(int argc, char **argv)
{
	uint64_t number;

	if (argc != 3)
		die("usage: hostile scribble|commands|ring SECONDS, hostile scan ADDRESS");
	number = strtoull(argv[2], NULL, 0);
	end_of_work = now() + (double)number;
	if (strcmp(argv[1], "scribble") == 0) {
		do_scribble();
	} else if (strcmp(argv[1], "commands") == 0) {
		do_commands();
	} else if (strcmp(argv[1], "ring") == 0) {
		do_ring();
	} else {
		scan_remote(number), report("remote_keys");
		scan_reads(number), report("remote_keys_read");
		scan_local(number), report("local_keys");
		scan_queue_pairs(number), report("queue_pairs");
		join_contexts(number), report("contexts");
	}
	return failures != 0;
}
