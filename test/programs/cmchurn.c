/*
 * cmchurn.c: connections of RDMA-CM by the thousand.
 *
 *	cmchurn serve ADDRESS			accepts whoever comes, answers each message
 *	cmchurn churn ADDRESS SECONDS WIDTH	opens, uses and closes, WIDTH at a time, and says how many a second
 *	cmchurn hold ADDRESS NUMBER		opens so many, uses each, closes when its input ends, and says how long it took
 *
 * To use a connection is one message each way. All of a program's queue pairs
 * share a completion queue and a shared receive queue, as a server's would.
 */
#include "check.h"

#include <rdma/rdma_cma.h>
#include <sys/resource.h>

#define PORT 8300
#define RECEIVES 4096
#define LENGTH 32

struct link {
	struct rdma_cm_id *id;
	struct link *next;	/* of those with the same hash */
	uint32_t qpn;
	uint32_t number;
	double asked;
};

static struct rdma_event_channel *channel;
static struct ibv_comp_channel *completions;
static struct ibv_pd *pd;
static struct ibv_cq *cq;
static struct ibv_srq *srq;
static struct ibv_mr *mr;
static uint8_t buffers[RECEIVES][LENGTH];
static struct link *by_qpn[1 << 16];

static bool serves, holds;
static struct sockaddr_in server;
static long opened, used, closed, failed, wanted_number, width, begun;
static double deadline;

static void fail(const char *what, int number)
{
	if (failed++ < 10)
		fprintf(stderr, "%s: %d (%s)\n", what, number, strerror(abs(number)));
}

static void post_receive(long index)
{
	struct ibv_sge sge = { (uintptr_t)buffers[index], LENGTH, mr->lkey };
	struct ibv_recv_wr wr = { .wr_id = (uint64_t)index, .sg_list = &sge, .num_sge = 1 }, *bad;

	if (ibv_post_srq_recv(srq, &wr, &bad) != 0)
		die("ibv_post_srq_recv");
}

/* What all queue pairs share is made once there is a device. */
static void share(struct ibv_context *context)
{
	struct ibv_srq_init_attr attr = { .attr = { .max_wr = RECEIVES, .max_sge = 1 } };

	if (pd)
		return;
	pd = ibv_alloc_pd(context);
	completions = ibv_create_comp_channel(context);
	cq = completions ? ibv_create_cq(context, 16384, NULL, completions, 0) : NULL;
	srq = pd ? ibv_create_srq(pd, &attr) : NULL;
	mr = pd ? ibv_reg_mr(pd, buffers, sizeof(buffers), IBV_ACCESS_LOCAL_WRITE) : NULL;
	if (!cq || !srq || !mr || ibv_req_notify_cq(cq, 0) != 0 || fcntl(completions->fd, F_SETFL, O_NONBLOCK) != 0)
		die("objects");
	for (long i = 0; i < RECEIVES; i++)
		post_receive(i);
}

static int equip(struct link *l)
{
	struct ibv_qp_init_attr attr = { .qp_type = IBV_QPT_RC, .sq_sig_all = 1, .cap = { .max_send_wr = 2, .max_send_sge = 1, .max_inline_data = LENGTH } };
	int result;

	share(l->id->verbs);
	attr.send_cq = attr.recv_cq = cq;
	attr.srq = srq;
	result = rdma_create_qp(l->id, pd, &attr);
	if (result == 0) {
		l->qpn = l->id->qp->qp_num;
		l->next = by_qpn[l->qpn & 0xffff];
		by_qpn[l->qpn & 0xffff] = l;
	}
	return result;
}

static struct link *link_of(uint32_t qpn)
{
	struct link *l = by_qpn[qpn & 0xffff];

	while (l && l->qpn != qpn)
		l = l->next;
	return l;
}

static void say(struct link *l, uint32_t word)
{
	uint32_t message[LENGTH / 4] = { word };
	struct ibv_sge sge = { (uintptr_t)message, LENGTH, 0 };
	struct ibv_send_wr wr = { .sg_list = &sge, .num_sge = 1, .opcode = IBV_WR_SEND, .send_flags = IBV_SEND_INLINE }, *bad;
	int number = ibv_post_send(l->id->qp, &wr, &bad);

	if (number)
		fail("ibv_post_send", number);
}

/* Ends a connection: the peer is told by it. */
static void forget(struct link *l)
{
	struct link **at = &by_qpn[l->qpn & 0xffff];

	if (l->id->qp) {
		while (*at != l)
			at = &(*at)->next;
		*at = l->next;
		rdma_destroy_qp(l->id);
	}
	if (rdma_destroy_id(l->id) != 0)
		fail("rdma_destroy_id", errno);
	free(l);
	closed++;
}

static void start_one(void)
{
	struct link *l = calloc(1, sizeof(*l));

	l->number = (uint32_t)begun++;
	if (rdma_create_id(channel, &l->id, l, RDMA_PS_TCP) != 0)
		die("rdma_create_id of number %ld", begun);
	if (rdma_resolve_addr(l->id, NULL, (struct sockaddr *)&server, 5000) != 0)
		die("rdma_resolve_addr of number %ld", begun);
}

/* A client's connection has ended well or not; churn opens the next. */
static void finish(struct link *l)
{
	forget(l);
	if (!holds && now() < deadline)
		start_one();
}

static void client_event(struct link *l, enum rdma_cm_event_type what, int status)
{
	struct rdma_conn_param param = { .responder_resources = 1, .initiator_depth = 1, .retry_count = 7, .rnr_retry_count = 7 };
	int result = 0;

	switch (what) {
	case RDMA_CM_EVENT_ADDR_RESOLVED:
		result = rdma_resolve_route(l->id, 5000);
		break;
	case RDMA_CM_EVENT_ROUTE_RESOLVED:
		result = equip(l);
		if (result == 0)
			result = rdma_connect(l->id, &param);
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		opened++;
		say(l, l->number);
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		fail("the server disconnects", status);
		finish(l);
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		fail(rdma_event_str(what), status);
		finish(l);
	}
	if (result != 0)
		die("%s: number %u", rdma_event_str(what), l->number);
}

static void server_event(struct rdma_cm_id *id, enum rdma_cm_event_type what, int status)
{
	struct link *l = id->context;

	switch (what) {
	case RDMA_CM_EVENT_CONNECT_REQUEST:
		l = calloc(1, sizeof(*l));
		l->id = id;
		id->context = l;
		if (equip(l) != 0 || rdma_accept(id, NULL) != 0) {
			fail("accept", errno);
			forget(l);
		}
		break;
	case RDMA_CM_EVENT_ESTABLISHED:
		opened++;
		break;
	case RDMA_CM_EVENT_DISCONNECTED:
		forget(l);
		break;
	case RDMA_CM_EVENT_TIMEWAIT_EXIT:
		break;
	default:
		fail(rdma_event_str(what), status);
		forget(l);
	}
}

static void take_events(void)
{
	struct rdma_cm_event *event;

	for (int i = 0; i < 64 && rdma_get_cm_event(channel, &event) == 0; i++) {
		struct rdma_cm_id *id = event->id;
		enum rdma_cm_event_type what = event->event;
		int status = event->status;

		rdma_ack_cm_event(event);
		if (serves)
			server_event(id, what, status);
		else
			client_event(id->context, what, status);
	}
}

static void take_completion(const struct ibv_wc *wc)
{
	struct link *l = link_of(wc->qp_num);
	uint32_t word;

	if (!(wc->opcode & IBV_WC_RECV) || wc->status != IBV_WC_SUCCESS) {
		if (wc->status != IBV_WC_SUCCESS && wc->status != IBV_WC_WR_FLUSH_ERR)
			fail(ibv_wc_status_str(wc->status), 0);
		return;
	}
	memcpy(&word, buffers[wc->wr_id], sizeof(word));
	post_receive((long)wc->wr_id);
	if (!l)
		return;
	used++;
	if (serves)
		say(l, ~word);
	else if (~word != l->number)
		fail("another's answer", 0);
	else if (!holds)
		finish(l);
}

static void take_completions(void)
{
	struct ibv_wc wc[16];
	struct ibv_cq *which;
	void *context;
	int n;

	while (ibv_get_cq_event(completions, &which, &context) == 0)
		ibv_ack_cq_events(which, 1);
	if (ibv_req_notify_cq(cq, 0) != 0)
		die("ibv_req_notify_cq");
	while ((n = ibv_poll_cq(cq, 16, wc)) > 0)
		for (int i = 0; i < n; i++)
			take_completion(&wc[i]);
}

/* Waits for something to do, and does it. */
static void turn(int more)
{
	struct pollfd polled[3] = { { channel->fd, POLLIN, 0 }, { completions ? completions->fd : -1, POLLIN, 0 }, { more, POLLIN, 0 } };

	if (poll(polled, 3, 1000) < 0)
		die("poll");
	if (polled[0].revents)
		take_events();
	if (polled[1].revents)
		take_completions();
}

static void serve(void)
{
	struct rdma_cm_id *listener;

	serves = true;
	if (rdma_create_id(channel, &listener, NULL, RDMA_PS_TCP) != 0 || rdma_bind_addr(listener, (struct sockaddr *)&server) != 0 ||
	    rdma_listen(listener, 1024) != 0)
		die("listen");
	for (;;)
		turn(-1);
}

static void churn(void)
{
	double start = now(), took;

	for (long i = 0; i < width; i++)
		start_one();
	while (closed < begun && now() < deadline + 30)
		turn(-1);
	took = now() - start;
	printf("%ld connections in %.2f s: %.0f a second; %ld failed\n", used, took, (double)used / took, failed);
}

static void hold(void)
{
	enum { AHEAD = 64 };	/* requests at a time */
	double start = now();
	char byte;

	holds = true;
	while (used < wanted_number && !failed) {
		while (begun < wanted_number && begun - used < AHEAD)
			start_one();
		turn(-1);
	}
	printf("%ld open after %.2f s\n", used, now() - start);
	fflush(stdout);
	while (read(0, &byte, 1) > 0 && !failed)
		;
	start = now();
	for (int i = 0; i < 1 << 16; i++)
		while (by_qpn[i])
			forget(by_qpn[i]);
	printf("%ld closed after %.2f s; %ld failed\n", closed, now() - start, failed);
}

int main(int argc, char **argv)
{
	struct rlimit files = { 0 };

	if (argc < 3)
		die("cmchurn serve|churn|hold ADDRESS ...");
	getrlimit(RLIMIT_NOFILE, &files);
	files.rlim_cur = files.rlim_max;
	setrlimit(RLIMIT_NOFILE, &files);
	server.sin_family = AF_INET;
	server.sin_port = htons(PORT);
	if (inet_pton(AF_INET, argv[2], &server.sin_addr) != 1)
		die("address %s", argv[2]);
	channel = rdma_create_event_channel();
	if (!channel || fcntl(channel->fd, F_SETFL, O_NONBLOCK) != 0)
		die("rdma_create_event_channel");
	if (strcmp(argv[1], "serve") == 0)
		serve();
	if (strcmp(argv[1], "churn") == 0 && argc == 5) {
		deadline = now() + atof(argv[3]);
		width = atol(argv[4]);
		churn();
	} else if (strcmp(argv[1], "hold") == 0 && argc == 4) {
		wanted_number = atol(argv[3]);
		hold();
	} else {
		die("cmchurn churn ADDRESS SECONDS WIDTH, or hold ADDRESS NUMBER");
	}
	return failed > 0;
}
