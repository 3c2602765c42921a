/*
 * far.c: the errors of errors.c that take two to happen, between two programs:
 * "far [SERVER]". The client requests, the server refuses, or is not there.
 * Both go through the same cases and say what each saw.
 */
#include "check.h"

static int meeting;
static bool client;
static struct side me;
static struct address you;

static const struct plan plain;
static const struct plan impatient = { .timeout = 12 /* 16.8 ms */, .retry_cnt = 3 };

/* Both sides, not connected. */
static void objects(const struct plan *plan)
{
	struct address mine;

	make_objects(&me, plan);
	fill(me.memory, me.length, 5);
	mine = address_of(&me);
	exchange(meeting, &mine, &you, sizeof(mine));
}

/* Both sides of one plan, connected. */
static void pair(const struct plan *plan)
{
	objects(plan);
	connect_side(&me, plan, &you);
	barrier(meeting);
}

static void end(void)
{
	barrier(meeting);
	destroy_side(&me);
	barrier(meeting);
}

/* A request of the client's that ends with a status; the server's queue pair ends in a state, and its memory is as it was. */
static void fails(struct request *r, enum ibv_wc_status status, enum ibv_qp_state of_server)
{
	if (client) {
		EXPECT(post(&me, r) == 0, "ibv_post_send: errno %d", errno);
		post_simple(&me, 77, IBV_WR_SEND, 0, 8, NULL);
		EXPECT_WC(me.send_cq, r->wr.wr_id, status);
		EXPECT_WC(me.send_cq, 77, IBV_WC_WR_FLUSH_ERR);
		EXPECT_STATE(&me, IBV_QPS_ERR);
	}
	barrier(meeting);
	if (!client) {
		EXPECT_STATE(&me, of_server);
		EXPECT(differs(me.memory, me.length, 5) == me.length, "memory changed at %zu", differs(me.memory, me.length, 5));
	}
}

static void remote_access(void)
{
	struct {
		const char *what;
		enum ibv_wr_opcode opcode;
		uint32_t rkey;
		int64_t offset;
		int access, qp_access;
	} cases[] = {
		{ "bad RKey, write", IBV_WR_RDMA_WRITE, 1, 0, 0, 0 },
		{ "bad RKey, read", IBV_WR_RDMA_READ, 1, 0, 0, 0 },
		{ "bad RKey, atomic", IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 0, 0, 0 },
		{ "beyond the end", IBV_WR_RDMA_WRITE, 0, 65536 - 63, 0, 0 },
		{ "before the start", IBV_WR_RDMA_WRITE, 0, -1, 0, 0 },
		{ "read beyond the end", IBV_WR_RDMA_READ, 0, 65536 - 63, 0, 0 },
		{ "address wraps", IBV_WR_RDMA_WRITE, 0, INT64_MIN, 0, 0 },
		{ "no right to write", IBV_WR_RDMA_WRITE, 0, 0, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ, 0 },
		{ "no right to read", IBV_WR_RDMA_READ, 0, 0, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, 0 },
		{ "no right to atomics", IBV_WR_ATOMIC_CMP_AND_SWP, 0, 0, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan plan = { .access = cases[i].access };
		struct request r;

		pair(client ? &plain : &plan);
		r = request(&me, 1, cases[i].opcode, 0, cases[i].opcode == IBV_WR_ATOMIC_FETCH_AND_ADD || cases[i].opcode == IBV_WR_ATOMIC_CMP_AND_SWP ? 8 : 64, &you);
		if (cases[i].opcode == IBV_WR_RDMA_WRITE || cases[i].opcode == IBV_WR_RDMA_READ) {
			r.wr.wr.rdma.rkey ^= cases[i].rkey;
			r.wr.wr.rdma.remote_addr += (uint64_t)cases[i].offset;
		} else {
			r.wr.wr.atomic.rkey ^= cases[i].rkey;
		}
		fails(&r, IBV_WC_REM_ACCESS_ERR, IBV_QPS_ERR);
		blame(cases[i].what);
		end();
	}
}

/* A big WRITE whose end is outside: no byte behind the region, whatever of it arrives. */
static void end_outside(void)
{
	struct plan plan = { .length = 1 << 20 };
	struct request r;

	pair(&plan);
	if (client) {
		r = request(&me, 1, IBV_WR_RDMA_WRITE, 0, 1 << 20, &you);
		r.wr.wr.rdma.remote_addr += 4;
		EXPECT(post(&me, &r) == 0, "ibv_post_send");
		EXPECT_WC(me.send_cq, 1, IBV_WC_REM_ACCESS_ERR);
	}
	barrier(meeting);
	EXPECT_STATE(&me, IBV_QPS_ERR);
	end();
}

static void region_goes(void)
{
	struct request r;

	pair(&plain);
	if (client) {
		r = request(&me, 1, IBV_WR_RDMA_WRITE, 0, 64, &you);
		EXPECT(post(&me, &r) == 0, "ibv_post_send");
		EXPECT_WC(me.send_cq, 1, IBV_WC_SUCCESS);
	}
	barrier(meeting);
	if (!client) {
		EXPECT(ibv_dereg_mr(me.mr) == 0, "ibv_dereg_mr");
		me.mr = NULL;
	}
	barrier(meeting);
	if (client) {
		r = request(&me, 2, IBV_WR_RDMA_READ, 0, 64, &you);
		EXPECT(post(&me, &r) == 0, "ibv_post_send");
		EXPECT_WC(me.send_cq, 2, IBV_WC_REM_ACCESS_ERR);
	}
	end();
}

static void too_long_for_the_receive(void)
{
	pair(&plain);
	if (!client) {
		post_recv(&me, 1, 0, 5000);
		post_recv(&me, 2, 8192, 50);
	}
	barrier(meeting);
	if (client) {
		post_simple(&me, 3, IBV_WR_SEND, 0, 5001, NULL);
		EXPECT_WC(me.send_cq, 3, IBV_WC_REM_INV_REQ_ERR);
	} else {
		EXPECT_WC(me.recv_cq, 1, IBV_WC_LOC_LEN_ERR);
		EXPECT_WC(me.recv_cq, 2, IBV_WC_WR_FLUSH_ERR);
		EXPECT(me.memory[5000] == pattern(5000, 5), "a byte beyond the receive was written");
	}
	EXPECT_STATE(&me, IBV_QPS_ERR);
	end();
}

static void no_reads_allowed(void)
{
	struct plan none = { .max_dest_rd_atomic = -1 };
	struct request r;

	pair(client ? &plain : &none);
	r = request(&me, 1, IBV_WR_RDMA_READ, 0, 8, &you);
	fails(&r, IBV_WC_REM_INV_REQ_ERR, IBV_QPS_ERR);
	end();
}

static void receiver_not_ready(void)
{
	struct plan twice = { .rnr_retry = 2, .min_rnr_timer = 14 }, never = { .rnr_retry = -1 }, ever = { .rnr_retry = 7, .min_rnr_timer = 1 };
	struct plan *plans[] = { &twice, &never };

	for (int i = 0; i < 2; i++) {
		pair(plans[i]);
		if (client) {
			post_simple(&me, 1, IBV_WR_SEND, 0, 64, NULL);
			EXPECT_WC(me.send_cq, 1, IBV_WC_RNR_RETRY_EXC_ERR);
			EXPECT_STATE(&me, IBV_QPS_ERR);
		}
		barrier(meeting);
		if (!client)
			EXPECT_STATE(&me, IBV_QPS_RTS);
		end();
	}
	pair(&ever);
	if (client) {
		post_simple(&me, 1, IBV_WR_SEND, 0, 64, NULL);
		pause_ms(400);
		EXPECT_NO_WC(me.send_cq);
	}
	barrier(meeting);
	if (client) {
		EXPECT_WC(me.send_cq, 1, IBV_WC_SUCCESS);
	} else {
		post_recv(&me, 2, 0, 64);
		EXPECT_WC(me.recv_cq, 2, IBV_WC_SUCCESS);
	}
	end();
}

/* The client's requests use up their retries, in about the time that its plan says. */
static void unheard(void)
{
	double start = now(), took;

	if (!client)
		return;
	post_simple(&me, 1, IBV_WR_SEND, 0, 64, NULL);
	post_recv(&me, 3, 0, 64);
	EXPECT_WC(me.send_cq, 1, IBV_WC_RETRY_EXC_ERR);
	took = now() - start;
	EXPECT(took >= 0.0167 * 3 && took <= 5, "gave up after %.3f s", took);
	EXPECT_WC(me.recv_cq, 3, IBV_WC_WR_FLUSH_ERR);
	EXPECT_STATE(&me, IBV_QPS_ERR);
}

static void no_such_queue_pair(void)
{
	objects(&impatient);
	you.qpn = 0xfffffe;
	connect_side(&me, &impatient, &you);
	unheard();
	end();
}

static void peer_not_ready(void)
{
	objects(&impatient);
	if (client)
		connect_side(&me, &impatient, &you);
	unheard();
	end();
}

static void peer_in_error(void)
{
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };

	pair(&impatient);
	if (!client)
		EXPECT(ibv_modify_qp(me.qp, &error, IBV_QP_STATE) == 0, "to ERR");
	barrier(meeting);
	unheard();
	end();
}

static void peer_destroyed(void)
{
	pair(&impatient);
	if (!client) {
		ibv_destroy_qp(me.qp);
		me.qp = NULL;
	}
	barrier(meeting);
	unheard();
	end();
}

/* The server's queue pair is connected to one of the client's; another one of the client's that names it is not heard. */
static void peer_of_another(void)
{
	struct side other;

	pair(&impatient);
	if (client) {
		other = me;
		make_objects(&me, &impatient);
		connect_side(&me, &impatient, &you);
	} else {
		post_recv(&me, 9, 0, 64);
	}
	barrier(meeting);
	unheard();
	barrier(meeting);
	if (client) {
		destroy_side(&me);
		me = other;
	} else {
		EXPECT_NO_WC(me.recv_cq);
		EXPECT_STATE(&me, IBV_QPS_RTS);
	}
	end();
}

/* UC does not notice that it is refused, and goes on. */
static void uc_loses(void)
{
	struct plan plan = { .type = IBV_QPT_UC };

	pair(&plan);
	if (client) {
		struct address to = you;

		post_simple(&me, 1, IBV_WR_SEND, 0, 64, NULL);	/* no receive */
		EXPECT_WC(me.send_cq, 1, IBV_WC_SUCCESS);
		to.rkey ^= 1;
		post_simple(&me, 2, IBV_WR_RDMA_WRITE, 0, 64, &to);
		EXPECT_WC(me.send_cq, 2, IBV_WC_SUCCESS);
		pause_ms(50);	/* a message waits for a receive a moment */
	}
	barrier(meeting);
	if (!client) {
		EXPECT(differs(me.memory, me.length, 5) == me.length, "memory changed");
		post_recv(&me, 3, 128, 64);
	}
	barrier(meeting);
	if (client) {
		post_simple(&me, 4, IBV_WR_SEND, 0, 64, NULL);
		EXPECT_WC(me.send_cq, 4, IBV_WC_SUCCESS);
	} else {
		EXPECT_WC(me.recv_cq, 3, IBV_WC_SUCCESS);
		EXPECT(differs(me.memory + 128, 64, 5) == 64, "wrong data");
	}
	EXPECT_STATE(&me, IBV_QPS_RTS);
	end();
}

/* Datagrams that nobody may have are lost without a word: of another QKey, to no queue pair, to nowhere, to one without a receive. */
static void datagrams_get_lost(void)
{
	struct plan plan = { .type = IBV_QPT_UD };
	struct ibv_ah *ah = NULL, *nowhere = NULL;
	struct ibv_ah_attr way;

	pair(&plan);
	way = route(&me, &you);
	ah = ibv_create_ah(me.pd, &way);
	way.grh.dgid.raw[15] ^= 0x55;
	nowhere = ibv_create_ah(me.pd, &way);
	if (!client)
		post_recv(&me, 1, 0, 200);
	barrier(meeting);
	for (uint64_t id = 1; client && id <= 4; id++) {
		struct request r = request(&me, id, IBV_WR_SEND, 0, 64, NULL);

		r.wr.wr.ud.ah = id == 3 ? nowhere : ah;
		r.wr.wr.ud.remote_qpn = you.qpn + (id == 2 ? 0x100000 : 0);
		r.wr.wr.ud.remote_qkey = QKEY + (id == 1);
		EXPECT(post(&me, &r) == 0, "ibv_post_send");
		EXPECT_WC(me.send_cq, id, IBV_WC_SUCCESS);
	}
	if (!client) {
		EXPECT_WC(me.recv_cq, 1, IBV_WC_SUCCESS);	/* the last one */
		EXPECT_NO_WC(me.recv_cq);
	}
	ibv_destroy_ah(ah);
	ibv_destroy_ah(nowhere);
	end();
}

/* After an error the same queue pairs can be used again. */
static void again(void)
{
	struct ibv_qp_attr reset = { .qp_state = IBV_QPS_RESET };

	pair(&plain);
	for (int round = 0; round < 5; round++) {
		struct address bad = you;

		if (!client)
			post_recv(&me, 1, 8192, 3000);
		barrier(meeting);
		if (client) {
			post_simple(&me, 2, IBV_WR_SEND, 0, 3000, NULL);
			EXPECT_WC(me.send_cq, 2, IBV_WC_SUCCESS);
			bad.rkey ^= 1;
			post_simple(&me, 3, IBV_WR_RDMA_WRITE, 0, 64, &bad);
			EXPECT_WC(me.send_cq, 3, IBV_WC_REM_ACCESS_ERR);
		} else {
			EXPECT_WC(me.recv_cq, 1, IBV_WC_SUCCESS);
			EXPECT(differs(me.memory + 8192, 3000, 5) == 3000, "wrong data in round %d", round);
			memset(me.memory + 8192, 0, 3000);
		}
		EXPECT_STATE(&me, IBV_QPS_ERR);
		barrier(meeting);
		EXPECT(ibv_modify_qp(me.qp, &reset, IBV_QP_STATE) == 0, "to RESET");
		barrier(meeting);
		connect_side(&me, &plain, &you);
		barrier(meeting);
	}
	end();
}

int main(int argc, char **argv)
{
	client = argc > 1;
	meeting = meet(argv[1]);
	argc = 1;
	CASE(remote_access);
	CASE(end_outside);
	CASE(region_goes);
	CASE(too_long_for_the_receive);
	CASE(no_reads_allowed);
	CASE(receiver_not_ready);
	CASE(no_such_queue_pair);
	CASE(peer_not_ready);
	CASE(peer_in_error);
	CASE(peer_destroyed);
	CASE(peer_of_another);
	CASE(uc_loses);
	CASE(datagrams_get_lost);
	CASE(again);
	return failures != 0;
}
