// ffpairs: many pairs of processes that send to each other, started and measured together.
//
//	ffpairs serve GATE FIRST PAIRS PORT SIZE
//	ffpairs send  GATE FIRST PAIRS PORT SIZE ADDRESS
//
// Each pair is two processes, each with a context, a CQ and an RC QP of its own; the sender keeps DEPTH sends of SIZE bytes
// under way. As in perftest, all messages of a side stand in one buffer, so that what grows with the number of pairs is
// work, not memory. Both wait for completions by events: hundreds of pollers on a few cores would measure the scheduler.
// Pairs meet over TCP.
//
// The gate is a file that all processes, whatever container they are in, have mapped. Words of 8 bytes:
//
//	0 ready   processes that are connected and wait
//	1 start   when all begin (CLOCK_MONOTONIC, ns); 0 until the benchmark says so
//	2 begin   bytes whose completion is seen from here
//	3 end     to here are counted; then senders stop, and wait for what is under way
//	4 + 4 i   pair i: bytes counted, messages sent, messages received, status (1: all went well)
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common.h"

enum { DEPTH = 8, RECEIVES = 2 * DEPTH, POLL_BATCH = 16, PATIENCE_MS = 60000 };
enum { READY, START, BEGIN, END, FIRST_SLOT };
enum { BYTES, SENT, RECEIVED, STATUS, SLOT_WORDS };

struct pair {
	int sock;
	uint32_t size;
	_Atomic uint64_t *slot;
	struct ibv_context *ctx;
	struct ibv_pd *pd;
	struct ibv_comp_channel *channel;
	struct ibv_cq *cq;
	struct ibv_qp *qp;
	struct ibv_mr *mr;
	char *mem;
};

struct address {
	uint32_t qpn, psn;
	union ibv_gid gid;
};

static _Atomic uint64_t *gate;

static void map_gate(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st))
		DIE("open %s", path);
	gate = mmap(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (gate == MAP_FAILED)
		DIE("map %s", path);
	close(fd);
}

// The container's IPv4 address as a GID.
static int find_gid(struct ibv_context *ctx, union ibv_gid *gid)
{
	static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
	struct ibv_port_attr port;
	if (ibv_query_port(ctx, 1, &port))
		DIE("query port");
	for (int i = 0; i < port.gid_tbl_len; i++)
		if (!ibv_query_gid(ctx, 1, i, gid) && !memcmp(gid->raw, mapped, sizeof mapped))
			return i;
	errno = ENOENT;
	DIE("find a GID that is an IPv4 address");
}

static void open_pair(struct pair *p)
{
	size_t bytes = p->size;
	p->ctx = open_first_device();
	p->pd = ibv_alloc_pd(p->ctx);
	p->channel = ibv_create_comp_channel(p->ctx);
	p->mem = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (!p->pd || !p->channel || p->mem == MAP_FAILED)
		DIE("prepare PD, channel, memory");
	p->mr = ibv_reg_mr(p->pd, p->mem, bytes, IBV_ACCESS_LOCAL_WRITE);
	p->cq = ibv_create_cq(p->ctx, RECEIVES + DEPTH, NULL, p->channel, 0);
	if (!p->mr || !p->cq)
		DIE("register memory, create CQ");
	struct ibv_qp_init_attr init = {
		.send_cq = p->cq, .recv_cq = p->cq, .qp_type = IBV_QPT_RC, .sq_sig_all = 1,
		.cap = {.max_send_wr = DEPTH, .max_recv_wr = RECEIVES, .max_send_sge = 1, .max_recv_sge = 1},
	};
	p->qp = ibv_create_qp(p->pd, &init);
	if (!p->qp)
		DIE("create QP");
	struct ibv_qp_attr attr = {.qp_state = IBV_QPS_INIT, .port_num = 1};
	if (ibv_modify_qp(p->qp, &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
		DIE("QP to INIT");
}

static void post_receive(struct pair *p, uint64_t i)
{
	struct ibv_sge sge = {(uintptr_t)p->mem, p->size, p->mr->lkey};
	struct ibv_recv_wr wr = {.wr_id = i, .sg_list = &sge, .num_sge = 1}, *bad;
	if ((errno = ibv_post_recv(p->qp, &wr, &bad)))
		DIE("post receive");
}

static void exchange(struct pair *p, const void *mine, void *theirs, size_t n)
{
	if (write(p->sock, mine, n) != (ssize_t)n || recv(p->sock, theirs, n, MSG_WAITALL) != (ssize_t)n)
		DIE("talk to the other side");
}

static void connect_pair(struct pair *p)
{
	struct address mine = {.qpn = p->qp->qp_num, .psn = (uint32_t)getpid() & 0xffffff}, theirs;
	int index = find_gid(p->ctx, &mine.gid);
	exchange(p, &mine, &theirs, sizeof mine);
	struct ibv_qp_attr rtr = {
		.qp_state = IBV_QPS_RTR, .path_mtu = IBV_MTU_4096, .dest_qp_num = theirs.qpn, .rq_psn = theirs.psn,
		.min_rnr_timer = 1,
		.ah_attr = {.is_global = 1, .port_num = 1,
			    .grh = {.dgid = theirs.gid, .sgid_index = (uint8_t)index, .hop_limit = 64}},
	};
	if (ibv_modify_qp(p->qp, &rtr, IBV_QP_STATE | IBV_QP_AV | IBV_QP_PATH_MTU | IBV_QP_DEST_QPN | IBV_QP_RQ_PSN |
					       IBV_QP_MAX_DEST_RD_ATOMIC | IBV_QP_MIN_RNR_TIMER))
		DIE("QP to RTR");
	struct ibv_qp_attr rts = {.qp_state = IBV_QPS_RTS, .sq_psn = mine.psn, .timeout = 18, .retry_cnt = 7, .rnr_retry = 7};
	if (ibv_modify_qp(p->qp, &rts, IBV_QP_STATE | IBV_QP_SQ_PSN | IBV_QP_TIMEOUT | IBV_QP_RETRY_CNT | IBV_QP_RNR_RETRY |
					       IBV_QP_MAX_QP_RD_ATOMIC))
		DIE("QP to RTS");
	char ready = 1, other;
	exchange(p, &ready, &other, 1);
}

static void wait_for_start(void)
{
	atomic_fetch_add(&gate[READY], 1);
	uint64_t start;
	while (!(start = atomic_load(&gate[START])))
		usleep(50000);
	struct timespec t = {(time_t)(start / 1000000000u), (long)(start % 1000000000u)};
	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

// Sleeps until the CQ has something, or until the other side has: returns 1 then.
static int wait_for_event(struct pair *p)
{
	struct pollfd fds[2] = {{.fd = p->channel->fd, .events = POLLIN}, {.fd = p->sock, .events = POLLIN}};
	int n = poll(fds, 2, PATIENCE_MS);
	if (n == 0)
		errno = ETIMEDOUT;
	if (n <= 0)
		DIE("wait for a completion");
	if (fds[0].revents) {
		struct ibv_cq *cq;
		void *context;
		if (ibv_get_cq_event(p->channel, &cq, &context))
			DIE("get an event");
		ibv_ack_cq_events(cq, 1);
		if ((errno = ibv_req_notify_cq(p->cq, 0)))
			DIE("ask for an event");
	}
	return fds[1].revents != 0;
}

static int take(struct pair *p, struct ibv_wc *wc)
{
	int n = ibv_poll_cq(p->cq, POLL_BATCH, wc);
	if (n < 0)
		DIE("poll the CQ");
	for (int i = 0; i < n; i++)
		if (wc[i].status != IBV_WC_SUCCESS) {
			errno = EIO;
			DIE("completion: %s", ibv_wc_status_str(wc[i].status));
		}
	return n;
}

static void post_send(struct pair *p, uint64_t i)
{
	struct ibv_sge sge = {(uintptr_t)p->mem, p->size, p->mr->lkey};
	struct ibv_send_wr wr = {.wr_id = i, .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND}, *bad;
	if ((errno = ibv_post_send(p->qp, &wr, &bad)))
		DIE("post send");
}

static void run_sender(struct pair *p)
{
	struct ibv_wc wc[POLL_BATCH];
	uint64_t sent = 0, done = 0, bytes = 0, received = 0;
	uint64_t begin = atomic_load(&gate[BEGIN]), end = atomic_load(&gate[END]), now = now_ns();
	ibv_req_notify_cq(p->cq, 0);
	while (now < end || done < sent) {
		while (now < end && sent - done < DEPTH)
			post_send(p, sent++);
		int n = take(p, wc);
		if (n == 0 && wait_for_event(p)) {
			errno = ECONNRESET;
			DIE("the receiver ended early");
		}
		done += (uint64_t)n;
		now = now_ns();
		if (now >= begin && now < end)
			bytes += (uint64_t)n * p->size;
	}
	exchange(p, &sent, &received, sizeof sent);
	p->slot[BYTES] = bytes;
	p->slot[SENT] = sent;
	p->slot[RECEIVED] = received;
	p->slot[STATUS] = sent == received;
}

static void run_receiver(struct pair *p)
{
	struct ibv_wc wc[POLL_BATCH];
	uint64_t received = 0, sent = UINT64_MAX;
	ibv_req_notify_cq(p->cq, 0);
	while (received < sent) {
		int n = take(p, wc);
		for (int i = 0; i < n; i++)
			post_receive(p, wc[i].wr_id);
		received += (uint64_t)n;
		if (n == 0 && sent == UINT64_MAX && wait_for_event(p) &&
		    recv(p->sock, &sent, sizeof sent, MSG_WAITALL) != sizeof sent)
			exit(1); // the sender has said why
	}
	if (write(p->sock, &received, sizeof received) != sizeof received)
		DIE("answer the sender");
}

static int run_pair(struct pair *p, int sends)
{
	int on = 1;
	setsockopt(p->sock, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	open_pair(p);
	for (uint64_t i = 0; !sends && i < RECEIVES; i++)
		post_receive(p, i);
	connect_pair(p);
	wait_for_start();
	if (sends)
		run_sender(p);
	else
		run_receiver(p);
	ibv_destroy_qp(p->qp);
	ibv_destroy_cq(p->cq);
	ibv_dereg_mr(p->mr);
	ibv_destroy_comp_channel(p->channel);
	ibv_dealloc_pd(p->pd);
	ibv_close_device(p->ctx);
	return 0;
}

static int wait_for_children(int n)
{
	int failed = 0, status;
	while (n-- > 0 && wait(&status) > 0)
		failed |= status != 0;
	return failed;
}

static int serve(int pairs, const struct sockaddr_in *addr, struct pair p)
{
	int on = 1, s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (s < 0 || bind(s, (const void *)addr, sizeof *addr) || listen(s, pairs))
		DIE("listen");
	for (int i = 0; i < pairs; i++) {
		p.sock = accept(s, NULL, NULL);
		if (p.sock < 0)
			DIE("accept");
		if (fork() == 0) {
			close(s);
			exit(run_pair(&p, 0));
		}
		close(p.sock);
	}
	return wait_for_children(pairs);
}

static int send_all(int first, int pairs, const struct sockaddr_in *addr, struct pair p)
{
	for (int i = 0; i < pairs; i++) {
		p.slot = gate + FIRST_SLOT + (size_t)(first + i) * SLOT_WORDS;
		if (fork() != 0)
			continue;
		p.sock = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		if (p.sock < 0 || connect(p.sock, (const void *)addr, sizeof *addr))
			DIE("connect");
		exit(run_pair(&p, 1));
	}
	return wait_for_children(pairs);
}

int main(int argc, char **argv)
{
	int sends = argc == 8 && strcmp(argv[1], "send") == 0;
	if (!sends && (argc != 7 || strcmp(argv[1], "serve") != 0)) {
		fprintf(stderr, "usage: ffpairs serve GATE FIRST PAIRS PORT SIZE\n"
				"       ffpairs send  GATE FIRST PAIRS PORT SIZE ADDRESS\n");
		return 2;
	}
	int first = atoi(argv[3]), pairs = atoi(argv[4]);
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons((uint16_t)atoi(argv[5]))};
	struct pair p = {.size = (uint32_t)strtoul(argv[6], NULL, 0)};
	map_gate(argv[2]);
	if (sends && inet_pton(AF_INET, argv[7], &addr.sin_addr) != 1) {
		fprintf(stderr, "%s is no address\n", argv[7]);
		return 2;
	}
	return sends ? send_all(first, pairs, &addr, p) : serve(pairs, &addr, p);
}
