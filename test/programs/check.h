/*
 * check.h: what the test programs share.
 *
 * A program runs cases and prints a line for each, which the Go side turns
 * into a test:
 *
 *	ok NAME
 *	not ok NAME: why
 *	skip NAME: why
 *
 * A side is one end of a connection with all that it needs. Both ends of a
 * pair may be in one process; they have contexts of their own all the same, so
 * that everything between them passes through the router.
 *
 * Nothing waits for ever: every wait has a limit.
 */
#ifndef CHECK_H
#define CHECK_H

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <infiniband/verbs.h>
#include <netdb.h>
#include <poll.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAYBE_UNUSED __attribute__((unused))
#define ALL_ACCESS (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ | \
		    IBV_ACCESS_REMOTE_ATOMIC | IBV_ACCESS_MW_BIND)
#define QKEY 0x11111111

static char failure[512];	/* of the case that runs; empty while it is well */
static int failures;
static const char *skip;	/* why the case cannot run here */

/* Notes the first thing that is wrong. */
#define EXPECT(condition, ...) expect((condition), __LINE__, __VA_ARGS__)

MAYBE_UNUSED __attribute__((format(printf, 3, 4)))
static bool expect(bool holds, int line, const char *format, ...)
{
	va_list arguments;
	int n;

	if (holds || failure[0])
		return holds;
	n = snprintf(failure, sizeof(failure), "line %d: ", line);
	va_start(arguments, format);
	vsnprintf(failure + n, sizeof(failure) - (size_t)n, format, arguments);
	va_end(arguments);
	return false;
}

/* Says which of several it was that went wrong first. */
MAYBE_UNUSED static void blame(const char *what)
{
	size_t n = strlen(failure);

	if (n && !strstr(failure, "; with "))
		snprintf(failure + n, sizeof(failure) - n, "; with %s", what);
}

/* For what no case can go on without. */
MAYBE_UNUSED __attribute__((format(printf, 1, 2), noreturn))
static void die(const char *format, ...)
{
	int error = errno;
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf(" (errno %d: %s)\n", error, strerror(error));
	exit(1);
}

MAYBE_UNUSED static void report(const char *name)
{
	if (failure[0]) {
		printf("not ok %s: %s\n", name, failure);
		failures++;
	} else if (skip) {
		printf("skip %s: %s\n", name, skip);
	} else {
		printf("ok %s\n", name);
	}
	fflush(stdout);
	failure[0] = 0;
	skip = NULL;
}

/* Runs a case, if no names are given or its is one of them. */
#define CASE(function) \
	do { \
		if (argc < 2 || wanted(#function, argc, argv)) { \
			function(); \
			report(#function); \
		} \
	} while (0)

MAYBE_UNUSED static bool wanted(const char *name, int argc, char **argv)
{
	for (int i = 1; i < argc; i++)
		if (strcmp(argv[i], name) == 0)
			return true;
	return false;
}

MAYBE_UNUSED static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

MAYBE_UNUSED static void pause_ms(int ms)
{
	struct timespec t = { ms / 1000, ms % 1000 * 1000000L };

	nanosleep(&t, NULL);
}

/* A pattern that tells bytes at different places and of different seeds apart. */
MAYBE_UNUSED static uint8_t pattern(uint64_t at, uint32_t seed)
{
	uint64_t x = at * 0x9e3779b97f4a7c15ull + seed * 0xbf58476d1ce4e5b9ull;

	return (uint8_t)((x ^ x >> 29) >> 17);
}

MAYBE_UNUSED static void fill(void *memory, size_t length, uint32_t seed)
{
	uint8_t *bytes = memory;

	for (size_t i = 0; i < length; i++)
		bytes[i] = pattern(i, seed);
}

/* The first byte that is not as fill() left it; length if all are. */
MAYBE_UNUSED static size_t differs(const void *memory, size_t length, uint32_t seed)
{
	const uint8_t *bytes = memory;

	for (size_t i = 0; i < length; i++)
		if (bytes[i] != pattern(i, seed))
			return i;
	return length;
}

MAYBE_UNUSED static struct ibv_context *open_device(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context;

	if (!list || !list[0])
		die("no RDMA device");
	context = ibv_open_device(list[0]);
	if (!context)
		die("ibv_open_device");
	ibv_free_device_list(list);
	return context;
}

/* The index of the GID that is the container's IPv4 address. */
MAYBE_UNUSED static int gid_index(struct ibv_context *context, union ibv_gid *gid)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	const char *chosen = getenv("CHECK_GID");

	if (chosen && ibv_query_gid(context, 1, atoi(chosen), gid) == 0)
		return atoi(chosen);
	for (int i = 0; ibv_query_gid(context, 1, i, gid) == 0; i++)
		if (memcmp(gid->raw, mapped, sizeof(mapped)) == 0)
			return i;
	die("no GID with an IPv4 address");
}

struct side {
	struct ibv_context *context;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *send_cq, *recv_cq;
	struct ibv_srq *srq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	uint8_t *memory;
	size_t length;
	union ibv_gid gid;
	int gid_index;
};

/* What the other end has to know. */
struct address {
	uint32_t qpn, psn, rkey, length;
	uint64_t memory;
	union ibv_gid gid;
};

/* How a side is made; zeros are usual values. */
struct plan {
	enum ibv_qp_type type;		/* RC if 0 */
	uint32_t depth, sge, inline_size, cqe;
	size_t length;			/* of registered memory */
	int access;			/* of it; all if 0 */
	int qp_access;			/* of the queue pair; all if 0 */
	bool srq, events, some_unsignalled;
	/* ibv_qp_attr's, as its fields are named; 0 is usual, -1 stands for 0 */
	int timeout, retry_cnt, rnr_retry, min_rnr_timer, max_rd_atomic, max_dest_rd_atomic, mtu;
};

static int usual(int asked, int usually)
{
	return asked == 0 ? usually : asked < 0 ? 0 : asked;
}

MAYBE_UNUSED static void make_objects(struct side *side, const struct plan *plan)
{
	struct ibv_qp_init_attr init = { .qp_type = plan->type ? plan->type : IBV_QPT_RC };
	int depth = usual((int)plan->depth, 64);

	memset(side, 0, sizeof(*side));
	side->context = open_device();
	side->gid_index = gid_index(side->context, &side->gid);
	side->pd = ibv_alloc_pd(side->context);
	if (!side->pd)
		die("ibv_alloc_pd");
	if (plan->events && !(side->channel = ibv_create_comp_channel(side->context)))
		die("ibv_create_comp_channel");
	side->send_cq = ibv_create_cq(side->context, usual((int)plan->cqe, depth + 1), NULL, side->channel, 0);
	side->recv_cq = ibv_create_cq(side->context, usual((int)plan->cqe, depth + 1), NULL, side->channel, 0);
	if (!side->send_cq || !side->recv_cq)
		die("ibv_create_cq");
	side->length = plan->length ? plan->length : 65536;
	side->memory = mmap(NULL, side->length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (side->memory == MAP_FAILED)
		die("mmap");
	side->mr = ibv_reg_mr(side->pd, side->memory, side->length, usual(plan->access, ALL_ACCESS));
	if (!side->mr)
		die("ibv_reg_mr");
	if (plan->srq) {
		struct ibv_srq_init_attr attr = { .attr = { .max_wr = (uint32_t)depth, .max_sge = 1 } };

		side->srq = ibv_create_srq(side->pd, &attr);
		if (!side->srq)
			die("ibv_create_srq");
	}
	init.send_cq = side->send_cq;
	init.recv_cq = side->recv_cq;
	init.srq = side->srq;
	init.sq_sig_all = !plan->some_unsignalled;
	init.cap.max_send_wr = (uint32_t)depth;
	init.cap.max_recv_wr = (uint32_t)depth;
	init.cap.max_send_sge = init.cap.max_recv_sge = (uint32_t)usual((int)plan->sge, 4);
	init.cap.max_inline_data = plan->inline_size;
	side->qp = ibv_create_qp(side->pd, &init);
	if (!side->qp)
		die("ibv_create_qp");
}

MAYBE_UNUSED static struct address address_of(const struct side *side)
{
	return (struct address){ .qpn = side->qp->qp_num, .psn = side->qp->qp_num * 7 & 0xffffff,
		.rkey = side->mr->rkey, .length = (uint32_t)side->length,
		.memory = (uintptr_t)side->memory, .gid = side->gid };
}

MAYBE_UNUSED static int to_init(struct side *side, const struct plan *plan)
{
	bool datagram = side->qp->qp_type == IBV_QPT_UD;
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT, .port_num = 1, .qkey = QKEY,
		.qp_access_flags = (unsigned)usual(plan->qp_access, ALL_ACCESS & ~(IBV_ACCESS_MW_BIND | IBV_ACCESS_LOCAL_WRITE)) };

	return ibv_modify_qp(side->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT |
			     (datagram ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS));
}

MAYBE_UNUSED static struct ibv_ah_attr route(const struct side *side, const struct address *to)
{
	return (struct ibv_ah_attr){ .is_global = 1, .port_num = 1,
		.grh = { .dgid = to->gid, .sgid_index = (uint8_t)side->gid_index, .hop_limit = 64 } };
}

MAYBE_UNUSED static int to_rtr(struct side *side, const struct plan *plan, const struct address *to)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTR, .path_mtu = (enum ibv_mtu)usual(plan->mtu, IBV_MTU_1024),
		.dest_qp_num = to->qpn, .rq_psn = to->psn, .ah_attr = route(side, to),
		.max_dest_rd_atomic = (uint8_t)usual(plan->max_dest_rd_atomic, 16),
		.min_rnr_timer = (uint8_t)usual(plan->min_rnr_timer, 12) };
	int mask = IBV_QP_STATE;

	if (side->qp->qp_type != IBV_QPT_UD)
		mask |= IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN;
	if (side->qp->qp_type == IBV_QPT_RC)
		mask |= IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER;
	return ibv_modify_qp(side->qp, &attr, mask);
}

MAYBE_UNUSED static int to_rts(struct side *side, const struct plan *plan)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTS, .sq_psn = address_of(side).psn,
		.timeout = (uint8_t)usual(plan->timeout, 14), .retry_cnt = (uint8_t)usual(plan->retry_cnt, 7),
		.rnr_retry = (uint8_t)usual(plan->rnr_retry, 7),
		.max_rd_atomic = (uint8_t)usual(plan->max_rd_atomic, 16) };
	int mask = IBV_QP_STATE | IBV_QP_SQ_PSN;

	if (side->qp->qp_type == IBV_QPT_RC)
		mask |= IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY | IBV_QP_MAX_QP_RD_ATOMIC;
	return ibv_modify_qp(side->qp, &attr, mask);
}

MAYBE_UNUSED static void connect_side(struct side *side, const struct plan *plan, const struct address *to)
{
	if (to_init(side, plan) || to_rtr(side, plan, to) || to_rts(side, plan))
		die("ibv_modify_qp to RTS");
}

/* Two sides of one plan, connected. */
MAYBE_UNUSED static void make_pair(struct side *a, struct side *b, const struct plan *plan)
{
	struct address at_a, at_b;

	make_objects(a, plan);
	make_objects(b, plan);
	at_a = address_of(a);
	at_b = address_of(b);
	connect_side(a, plan, &at_b);
	connect_side(b, plan, &at_a);
}

#define DESTROY(what, call) EXPECT(!(what) || (call)(what) == 0, #call ": errno %d", errno)

MAYBE_UNUSED static void destroy_side(struct side *side)
{
	DESTROY(side->qp, ibv_destroy_qp);
	DESTROY(side->srq, ibv_destroy_srq);
	DESTROY(side->send_cq, ibv_destroy_cq);
	DESTROY(side->recv_cq, ibv_destroy_cq);
	DESTROY(side->channel, ibv_destroy_comp_channel);
	DESTROY(side->mr, ibv_dereg_mr);
	DESTROY(side->pd, ibv_dealloc_pd);
	DESTROY(side->context, ibv_close_device);
	if (side->memory)
		munmap(side->memory, side->length);
}

MAYBE_UNUSED static void destroy_pair(struct side *a, struct side *b)
{
	destroy_side(a);
	destroy_side(b);
}

/* The next completion within so many seconds. */
MAYBE_UNUSED static bool next_wc(struct ibv_cq *cq, struct ibv_wc *wc, double limit)
{
	double end = now() + limit;

	memset(wc, 0, sizeof(*wc));
	do {
		int n = ibv_poll_cq(cq, 1, wc);

		if (n < 0)
			die("ibv_poll_cq");
		if (n == 1)
			return true;
		sched_yield();
	} while (now() < end);
	return false;
}

#define EXPECT_WC(cq, id, expected) expect_wc((cq), (id), (expected), __LINE__)

/* The next completion has this identity and status. */
MAYBE_UNUSED static struct ibv_wc expect_wc(struct ibv_cq *cq, uint64_t id, enum ibv_wc_status expected, int line)
{
	struct ibv_wc wc;

	if (!next_wc(cq, &wc, 10))
		expect(false, line, "no completion of work request %llu in 10 s", (unsigned long long)id);
	else
		expect(wc.wr_id == id && wc.status == expected, line, "completion of %llu: %s; expected of %llu: %s",
		       (unsigned long long)wc.wr_id, ibv_wc_status_str(wc.status), (unsigned long long)id,
		       ibv_wc_status_str(expected));
	return wc;
}

#define EXPECT_NO_WC(cq) expect_no_wc((cq), __LINE__)

MAYBE_UNUSED static void expect_no_wc(struct ibv_cq *cq, int line)
{
	struct ibv_wc wc;

	if (next_wc(cq, &wc, 0.05))
		expect(false, line, "a completion nobody asked for, of %llu: %s", (unsigned long long)wc.wr_id,
		       ibv_wc_status_str(wc.status));
}

#define EXPECT_STATE(side, expected) expect_state((side), (expected), __LINE__)

/* The queue pair is in a state, or gets there in a second. */
MAYBE_UNUSED static void expect_state(struct side *side, enum ibv_qp_state expected, int line)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_UNKNOWN };
	struct ibv_qp_init_attr init;
	double end = now() + 1;

	do {
		if (ibv_query_qp(side->qp, &attr, IBV_QP_STATE, &init) != 0)
			expect(false, line, "ibv_query_qp: errno %d", errno);
	} while (attr.qp_state != expected && now() < end);
	expect(attr.qp_state == expected, line, "the queue pair is in state %d, expected %d", attr.qp_state, expected);
}

#define EXPECT_EVENT(side, expected) expect_event((side), (expected), __LINE__)

/* The next asynchronous event is this one. */
MAYBE_UNUSED static void expect_event(struct side *side, enum ibv_event_type expected, int line)
{
	struct pollfd polled = { side->context->async_fd, POLLIN, 0 };
	struct ibv_async_event event;

	if (poll(&polled, 1, 5000) != 1) {
		expect(false, line, "no event in 5 s, expected: %s", ibv_event_type_str(expected));
		return;
	}
	if (ibv_get_async_event(side->context, &event) != 0) {
		expect(false, line, "ibv_get_async_event: errno %d", errno);
		return;
	}
	ibv_ack_async_event(&event);
	expect(event.event_type == expected, line, "event: %s, expected: %s", ibv_event_type_str(event.event_type),
	       ibv_event_type_str(expected));
}

#define EXPECT_NO_EVENT(side) expect_no_event((side), __LINE__)

MAYBE_UNUSED static void expect_no_event(struct side *side, int line)
{
	struct pollfd polled = { side->context->async_fd, POLLIN, 0 };

	expect(poll(&polled, 1, 20) == 0, line, "an event nobody expected");
}

MAYBE_UNUSED static int post_recv(struct side *side, uint64_t id, size_t offset, uint32_t length)
{
	struct ibv_sge sge = { (uintptr_t)side->memory + offset, length, side->mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = id, .sg_list = &sge, .num_sge = 1 }, *bad;

	return side->srq ? ibv_post_srq_recv(side->srq, &wr, &bad) : ibv_post_recv(side->qp, &wr, &bad);
}

/* A signalled work request over memory of both sides, for the caller to change. */
struct request {
	struct ibv_sge sge;
	struct ibv_send_wr wr;
};

MAYBE_UNUSED static struct request request(struct side *side, uint64_t id, enum ibv_wr_opcode opcode, size_t offset,
					   uint32_t length, const struct address *to)
{
	struct request r = { .sge = { (uintptr_t)side->memory + offset, length, side->mr->lkey } };

	r.wr.wr_id = id;
	r.wr.opcode = opcode;
	r.wr.send_flags = IBV_SEND_SIGNALED;
	r.wr.num_sge = length ? 1 : 0;
	if (to && (opcode == IBV_WR_ATOMIC_CMP_AND_SWP || opcode == IBV_WR_ATOMIC_FETCH_AND_ADD)) {
		r.wr.wr.atomic.remote_addr = to->memory + offset;
		r.wr.wr.atomic.rkey = to->rkey;
	} else if (to && opcode != IBV_WR_SEND && opcode != IBV_WR_SEND_WITH_IMM) {
		r.wr.wr.rdma.remote_addr = to->memory + offset;
		r.wr.wr.rdma.rkey = to->rkey;
	}
	return r;
}

MAYBE_UNUSED static int post(struct side *side, struct request *r)
{
	struct ibv_send_wr *bad;

	r->wr.sg_list = &r->sge;
	return ibv_post_send(side->qp, &r->wr, &bad);
}

/* Posts and expects it to be taken. */
MAYBE_UNUSED static void post_simple(struct side *side, uint64_t id, enum ibv_wr_opcode opcode, size_t offset,
				     uint32_t length, const struct address *to)
{
	struct request r = request(side, id, opcode, offset, length, to);
	int error = post(side, &r);

	EXPECT(error == 0, "ibv_post_send of %llu: errno %d", (unsigned long long)id, error);
}

/*
 * Two programs meet over TCP, on a port of their own: the client names the
 * server's address, the server none.
 */
#define MEETING_PORT 18600

MAYBE_UNUSED static int meet(const char *server)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(MEETING_PORT) };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1, c;

	if (server) {
		double end = now() + 10;

		if (inet_pton(AF_INET, server, &at.sin_addr) != 1)
			die("address %s", server);
		while (connect(s, (struct sockaddr *)&at, sizeof(at)) != 0) {
			if (now() > end)
				die("connect to %s", server);
			close(s);
			pause_ms(20);
			s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		}
		return s;
	}
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(s, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(s, 8) != 0)
		die("listen");
	c = accept(s, NULL, NULL);
	if (c < 0)
		die("accept");
	close(s);
	return c;
}

/* Both send, both receive; also a barrier. */
MAYBE_UNUSED static void exchange(int s, const void *ours, void *theirs, size_t length)
{
	if (send(s, ours, length, MSG_NOSIGNAL) != (ssize_t)length)
		die("the other program is gone");
	if (recv(s, theirs, length, MSG_WAITALL) != (ssize_t)length)
		die("the other program is gone");
}

MAYBE_UNUSED static void barrier(int s)
{
	char ours = 'x', theirs;

	exchange(s, &ours, &theirs, 1);
}

#endif
