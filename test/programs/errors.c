/*
 * errors.c: every error has the completion status that the specification
 * names, and takes the queue pair to the state it must. Both sides in one
 * process, with a context each.
 */
#include "check.h"

static struct plan plain;

/* A request of a that ends with a status while b's queue pair ends in a state. */
static void requester_fails(struct side *a, struct side *b, struct request *r, enum ibv_wc_status status,
			    enum ibv_qp_state of_b)
{
	EXPECT(post(a, r) == 0, "ibv_post_send: errno %d", errno);
	EXPECT_WC(a->send_cq, r->wr.wr_id, status);
	EXPECT_STATE(a, IBV_QPS_ERR);
	EXPECT_STATE(b, of_b);
}

static void local_length(void)
{
	struct side a, b;

	make_pair(&a, &b, &plain);
	fill(b.memory, 200, 1);
	post_recv(&b, 1, 0, 50);
	post_recv(&b, 2, 100, 50);
	post_simple(&a, 3, IBV_WR_SEND, 0, 51, NULL);
	EXPECT_WC(a.send_cq, 3, IBV_WC_REM_INV_REQ_ERR);
	EXPECT_WC(b.recv_cq, 1, IBV_WC_LOC_LEN_ERR);
	EXPECT_WC(b.recv_cq, 2, IBV_WC_WR_FLUSH_ERR);
	EXPECT_STATE(&a, IBV_QPS_ERR);
	EXPECT_STATE(&b, IBV_QPS_ERR);
	EXPECT(differs(b.memory + 50, 1, 1) == 1 || b.memory[50] == pattern(50, 1), "bytes beyond the receive were written");
	destroy_pair(&a, &b);
}

static void local_length_beyond_maximum(void)
{
	struct plan plan = { .length = 1 << 20 };
	struct side a, b;
	struct ibv_sge sges[3];
	struct ibv_send_wr wr = { .wr_id = 1, .opcode = IBV_WR_RDMA_WRITE, .send_flags = IBV_SEND_SIGNALED, .sg_list = sges, .num_sge = 3 }, *bad;
	struct ibv_port_attr port;

	make_pair(&a, &b, &plan);
	ibv_query_port(a.context, 1, &port);
	for (int i = 0; i < 3; i++)
		sges[i] = (struct ibv_sge){ (uintptr_t)a.memory, 0x7fffffff, a.mr->lkey };
	wr.wr.rdma.remote_addr = (uintptr_t)b.memory;
	wr.wr.rdma.rkey = b.mr->rkey;
	if (ibv_post_send(a.qp, &wr, &bad) == 0) { /* a provider may refuse it */
		struct ibv_wc wc;

		EXPECT(next_wc(a.send_cq, &wc, 5), "no completion");
		EXPECT(wc.status == IBV_WC_LOC_LEN_ERR || wc.status == IBV_WC_LOC_PROT_ERR, "%s", ibv_wc_status_str(wc.status));
		EXPECT_STATE(&a, IBV_QPS_ERR);
	}
	EXPECT_STATE(&b, IBV_QPS_RTS);
	destroy_pair(&a, &b);
}

static void local_protection(void)
{
	struct {
		const char *what;
		enum ibv_wr_opcode opcode;
		int64_t lkey, offset, length;
	} cases[] = {
		{ "bad LKey", IBV_WR_SEND, 1, 0, 64 },
		{ "LKey of nothing", IBV_WR_SEND, 0x7fffff00, 0, 64 },
		{ "beyond the end", IBV_WR_SEND, 0, 65536 - 63, 64 },
		{ "before the start", IBV_WR_SEND, 0, -1, 64 },
		{ "far away", IBV_WR_SEND, 0, 1ll << 40, 64 },
		{ "address wraps", IBV_WR_SEND, 0, INT64_MIN, 64 },
		{ "write", IBV_WR_RDMA_WRITE, 1, 0, 64 },
		{ "read", IBV_WR_RDMA_READ, 1, 0, 64 },
		{ "atomic", IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 0, 8 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address to;
		struct request r;
		struct side a, b;

		make_pair(&a, &b, &plain);
		to = address_of(&b);
		post_recv(&b, 1, 0, 64);
		r = request(&a, 2, cases[i].opcode, 0, (uint32_t)cases[i].length, &to);
		r.sge.lkey ^= (uint32_t)cases[i].lkey;
		r.sge.addr += (uint64_t)cases[i].offset;
		requester_fails(&a, &b, &r, IBV_WC_LOC_PROT_ERR, IBV_QPS_RTS);
		EXPECT_NO_WC(b.recv_cq);
		blame(cases[i].what);
		destroy_pair(&a, &b);
	}
}

static void local_protection_of_other_pd(void)
{
	struct side a, b;
	struct request r;
	struct ibv_pd *pd;
	struct ibv_mr *mr;

	make_pair(&a, &b, &plain);
	pd = ibv_alloc_pd(a.context);
	mr = ibv_reg_mr(pd, a.memory, 4096, ALL_ACCESS);
	r = request(&a, 1, IBV_WR_SEND, 0, 64, NULL);
	r.sge.lkey = mr->lkey;
	requester_fails(&a, &b, &r, IBV_WC_LOC_PROT_ERR, IBV_QPS_RTS);
	ibv_dereg_mr(mr);
	ibv_dealloc_pd(pd);
	destroy_pair(&a, &b);
}

static void local_protection_after_dereg(void)
{
	struct side a, b;
	struct request r;
	struct ibv_mr *mr;

	make_pair(&a, &b, &plain);
	mr = ibv_reg_mr(a.pd, a.memory, 4096, ALL_ACCESS);
	r = request(&a, 1, IBV_WR_SEND, 0, 64, NULL);
	r.sge.lkey = mr->lkey;
	ibv_dereg_mr(mr);
	mr = ibv_reg_mr(a.pd, a.memory, 4096, ALL_ACCESS); /* may take the same place */
	EXPECT(mr->lkey != r.sge.lkey, "a new registration has the old one's LKey");
	requester_fails(&a, &b, &r, IBV_WC_LOC_PROT_ERR, IBV_QPS_RTS);
	ibv_dereg_mr(mr);
	destroy_pair(&a, &b);
}

/* Data that come back need local write. */
static void local_protection_read_only(void)
{
	struct plan read_only = { .access = IBV_ACCESS_REMOTE_READ };
	enum ibv_wr_opcode opcodes[] = { IBV_WR_RDMA_READ, IBV_WR_ATOMIC_FETCH_AND_ADD };

	for (int i = 0; i < 2; i++) {
		struct address at_a, at_b;
		struct request r;
		struct side a, b;

		make_objects(&a, &read_only);
		make_objects(&b, &plain);
		at_a = address_of(&a);
		at_b = address_of(&b);
		connect_side(&a, &plain, &at_b);
		connect_side(&b, &plain, &at_a);
		r = request(&a, 1, opcodes[i], 0, 8, &at_b);
		requester_fails(&a, &b, &r, IBV_WC_LOC_PROT_ERR, IBV_QPS_RTS);
		destroy_pair(&a, &b);
	}
}

/* The receive that a message arrives in is at fault: both ends hear of it. */
static void receive_protection(void)
{
	struct ibv_recv_wr wr, *bad;
	struct ibv_sge sge;
	struct side a, b;

	make_pair(&a, &b, &plain);
	sge = (struct ibv_sge){ (uintptr_t)b.memory, 64, b.mr->lkey ^ 1 };
	wr = (struct ibv_recv_wr){ .wr_id = 1, .sg_list = &sge, .num_sge = 1 };
	EXPECT(ibv_post_recv(b.qp, &wr, &bad) == 0, "ibv_post_recv");
	post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(b.recv_cq, 1, IBV_WC_LOC_PROT_ERR);
	EXPECT_WC(a.send_cq, 2, IBV_WC_REM_OP_ERR);
	EXPECT_STATE(&a, IBV_QPS_ERR);
	EXPECT_STATE(&b, IBV_QPS_ERR);
	destroy_pair(&a, &b);
}

static void receive_into_read_only(void)
{
	struct plan read_only = { .access = IBV_ACCESS_REMOTE_READ };
	struct address at_a, at_b;
	struct side a, b;

	make_objects(&a, &plain);
	make_objects(&b, &read_only);
	at_a = address_of(&a);
	at_b = address_of(&b);
	connect_side(&a, &plain, &at_b);
	connect_side(&b, &plain, &at_a);
	post_recv(&b, 1, 0, 64);
	post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(b.recv_cq, 1, IBV_WC_LOC_PROT_ERR);
	EXPECT_WC(a.send_cq, 2, IBV_WC_REM_OP_ERR);
	destroy_pair(&a, &b);
}

static void remote_access(void)
{
	struct {
		const char *what;
		enum ibv_wr_opcode opcode;
		int access, qp_access;
		int64_t rkey, offset;
		uint32_t length;
	} cases[] = {
		{ "write, bad RKey", IBV_WR_RDMA_WRITE, 0, 0, 1, 0, 64 },
		{ "write, RKey of nothing", IBV_WR_RDMA_WRITE, 0, 0, 0x7fffff00, 0, 64 },
		{ "write, beyond the end", IBV_WR_RDMA_WRITE, 0, 0, 0, 65536 - 63, 64 },
		{ "write, before the start", IBV_WR_RDMA_WRITE, 0, 0, 0, -1, 64 },
		{ "write, address wraps", IBV_WR_RDMA_WRITE, 0, 0, 0, INT64_MAX, 64 },
		{ "write, region does not allow", IBV_WR_RDMA_WRITE, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ, 0, 0, 0, 64 },
		{ "write, queue pair does not allow", IBV_WR_RDMA_WRITE, 0, IBV_ACCESS_REMOTE_READ, 0, 0, 64 },
		{ "write with immediate", IBV_WR_RDMA_WRITE_WITH_IMM, 0, 0, 1, 0, 64 },
		{ "read, bad RKey", IBV_WR_RDMA_READ, 0, 0, 1, 0, 64 },
		{ "read, beyond the end", IBV_WR_RDMA_READ, 0, 0, 0, 65536 - 63, 64 },
		{ "read, region does not allow", IBV_WR_RDMA_READ, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE, 0, 0, 0, 64 },
		{ "read, queue pair does not allow", IBV_WR_RDMA_READ, 0, IBV_ACCESS_REMOTE_WRITE, 0, 0, 64 },
		{ "atomic, bad RKey", IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 0, 1, 0, 8 },
		{ "atomic, region does not allow", IBV_WR_ATOMIC_CMP_AND_SWP, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ, 0, 0, 0, 8 },
		{ "atomic, queue pair does not allow", IBV_WR_ATOMIC_CMP_AND_SWP, 0, IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ, 0, 0, 8 },
		{ "a big write that ends beyond", IBV_WR_RDMA_WRITE, 0, 0, 0, 1, 65536 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct plan plan = { .access = cases[i].access, .qp_access = cases[i].qp_access };
		struct address at_a, at_b;
		struct request r;
		struct side a, b;

		make_objects(&a, &plain);
		make_objects(&b, &plan);
		at_a = address_of(&a);
		at_b = address_of(&b);
		connect_side(&a, &plain, &at_b);
		connect_side(&b, &plan, &at_a);
		fill(b.memory, b.length, 5);
		post_recv(&b, 7, 0, 64);
		r = request(&a, 1, cases[i].opcode, 0, cases[i].length, &at_b);
		if (cases[i].length == 8) {
			r.wr.wr.atomic.rkey ^= (uint32_t)cases[i].rkey;
		} else {
			r.wr.wr.rdma.rkey ^= (uint32_t)cases[i].rkey;
			r.wr.wr.rdma.remote_addr += (uint64_t)cases[i].offset;
		}
		/* What the queue pair does not allow at all is an invalid request (IBTA 9.7.4.1.3). */
		requester_fails(&a, &b, &r, plan.qp_access ? IBV_WC_REM_INV_REQ_ERR : IBV_WC_REM_ACCESS_ERR, IBV_QPS_ERR);
		EXPECT_WC(b.recv_cq, 7, IBV_WC_WR_FLUSH_ERR);
		EXPECT_EVENT(&b, plan.qp_access ? IBV_EVENT_QP_REQ_ERR : IBV_EVENT_QP_ACCESS_ERR);
		EXPECT(differs(b.memory, b.length, 5) == b.length, "memory changed at %zu", differs(b.memory, b.length, 5));
		blame(cases[i].what);
		destroy_pair(&a, &b);
	}
}

/* A message of no bytes touches no memory: its key is not looked at (IBTA 9.7.4.1.5). */
static void zero_bytes_need_no_key(void)
{
	struct address to;
	struct request r;
	struct side a, b;

	make_pair(&a, &b, &plain);
	to = address_of(&b);
	to.rkey ^= 0x5a5a5a;
	to.memory = 0;
	r = request(&a, 1, IBV_WR_RDMA_WRITE, 0, 0, &to);
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
	r = request(&a, 2, IBV_WR_RDMA_READ, 0, 0, &to);
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	EXPECT_WC(a.send_cq, 2, IBV_WC_SUCCESS);
	post_recv(&b, 3, 0, 0);
	post_simple(&a, 4, IBV_WR_SEND, 0, 0, NULL);
	EXPECT_WC(a.send_cq, 4, IBV_WC_SUCCESS);
	EXPECT(EXPECT_WC(b.recv_cq, 3, IBV_WC_SUCCESS).byte_len == 0, "length");
	destroy_pair(&a, &b);
}

static void remote_access_of_other_pd(void)
{
	struct address to;
	struct side a, b;
	struct request r;
	struct ibv_pd *pd;
	struct ibv_mr *mr;

	make_pair(&a, &b, &plain);
	pd = ibv_alloc_pd(b.context);
	mr = ibv_reg_mr(pd, b.memory, 4096, ALL_ACCESS);
	to = address_of(&b);
	to.rkey = mr->rkey;
	r = request(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &to);
	requester_fails(&a, &b, &r, IBV_WC_REM_ACCESS_ERR, IBV_QPS_ERR);
	ibv_dereg_mr(mr);
	ibv_dealloc_pd(pd);
	destroy_pair(&a, &b);
}

static void remote_access_after_dereg(void)
{
	struct address to;
	struct side a, b;
	struct request r;
	struct ibv_mr *mr;

	make_pair(&a, &b, &plain);
	mr = ibv_reg_mr(b.pd, b.memory, 4096, ALL_ACCESS);
	to = address_of(&b);
	to.rkey = mr->rkey;
	r = request(&a, 1, IBV_WR_RDMA_WRITE, 0, 64, &to);
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
	ibv_dereg_mr(mr);
	r = request(&a, 2, IBV_WR_RDMA_WRITE, 0, 64, &to);
	requester_fails(&a, &b, &r, IBV_WC_REM_ACCESS_ERR, IBV_QPS_ERR);
	destroy_pair(&a, &b);
}

static void remote_invalid_request(void)
{
	/* An atomic that is not aligned would be another case, but the provider does not post it. */
	struct plan no_reads = { .max_dest_rd_atomic = -1 };
	struct {
		const struct plan *of_b;
		enum ibv_wr_opcode opcode;
	} cases[] = {
		{ &no_reads, IBV_WR_RDMA_READ },
		{ &no_reads, IBV_WR_ATOMIC_FETCH_AND_ADD },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct address at_a, at_b;
		struct request r;
		struct side a, b;

		make_objects(&a, &plain);
		make_objects(&b, cases[i].of_b);
		at_a = address_of(&a);
		at_b = address_of(&b);
		connect_side(&a, &plain, &at_b);
		connect_side(&b, cases[i].of_b, &at_a);
		r = request(&a, 1, cases[i].opcode, 0, 8, &at_b);
		requester_fails(&a, &b, &r, IBV_WC_REM_INV_REQ_ERR, IBV_QPS_ERR);
		EXPECT_EVENT(&b, IBV_EVENT_QP_REQ_ERR);
		destroy_pair(&a, &b);
	}
}

static void rnr_retries_exceeded(void)
{
	struct plan plan = { .rnr_retry = 2, .min_rnr_timer = 14 /* 1.28 ms */ };
	struct side a, b;
	double start;

	make_pair(&a, &b, &plan);
	start = now();
	post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL);
	post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(a.send_cq, 1, IBV_WC_RNR_RETRY_EXC_ERR);
	EXPECT(now() - start >= 0.00128 * 2, "gave up after %.2f ms", 1e3 * (now() - start));
	EXPECT_WC(a.send_cq, 2, IBV_WC_WR_FLUSH_ERR);
	EXPECT_STATE(&a, IBV_QPS_ERR);
	EXPECT_STATE(&b, IBV_QPS_RTS);
	destroy_pair(&a, &b);
}

static void rnr_with_no_retry(void)
{
	struct plan plan = { .rnr_retry = -1 };
	struct side a, b;
	struct address to;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	post_simple(&a, 1, IBV_WR_RDMA_WRITE_WITH_IMM, 0, 64, &to);
	EXPECT_WC(a.send_cq, 1, IBV_WC_RNR_RETRY_EXC_ERR);
	EXPECT_STATE(&a, IBV_QPS_ERR);
	destroy_pair(&a, &b);
}

static void rnr_for_ever(void)
{
	struct plan plan = { .rnr_retry = 7, .min_rnr_timer = 1 };
	struct side a, b;

	make_pair(&a, &b, &plan);
	post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL);
	pause_ms(400);
	EXPECT_NO_WC(a.send_cq);
	post_recv(&b, 2, 0, 64);
	EXPECT_WC(b.recv_cq, 2, IBV_WC_SUCCESS);
	EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
	EXPECT_STATE(&a, IBV_QPS_RTS);
	destroy_pair(&a, &b);
}

static void expect_retries_exceeded(struct side *a, double least, double most)
{
	double start = now(), took;

	post_simple(a, 1, IBV_WR_SEND, 0, 64, NULL);
	post_simple(a, 2, IBV_WR_SEND, 0, 64, NULL);
	post_recv(a, 3, 0, 64);
	EXPECT_WC(a->send_cq, 1, IBV_WC_RETRY_EXC_ERR);
	took = now() - start;
	EXPECT(took >= least && took <= most, "gave up after %.3f s, expected %.3f to %.3f", took, least, most);
	EXPECT_WC(a->send_cq, 2, IBV_WC_WR_FLUSH_ERR);
	EXPECT_WC(a->recv_cq, 3, IBV_WC_WR_FLUSH_ERR);
	EXPECT_STATE(a, IBV_QPS_ERR);
}

static const struct plan impatient = { .timeout = 12 /* 16.8 ms */, .retry_cnt = 3 };

static void no_such_queue_pair(void)
{
	struct address to;
	struct side a;

	make_objects(&a, &impatient);
	to = address_of(&a);
	to.qpn = 0xfffffe;
	connect_side(&a, &impatient, &to);
	expect_retries_exceeded(&a, 0.0167 * 3, 3);
	destroy_side(&a);
}

static void no_such_host(void)
{
	struct side a, b;
	struct address to;

	make_objects(&a, &impatient);
	make_objects(&b, &impatient);
	to = address_of(&b);
	to.gid.raw[15] ^= 0x55;
	connect_side(&a, &impatient, &to);
	expect_retries_exceeded(&a, 0.0167 * 3, 3);
	destroy_pair(&a, &b);
}

static void peer_not_ready(void)
{
	struct side a, b;
	struct address to;

	make_objects(&a, &impatient);
	make_objects(&b, &impatient);
	to = address_of(&b);
	connect_side(&a, &impatient, &to);
	expect_retries_exceeded(&a, 0.0167 * 3, 3);
	destroy_pair(&a, &b);
}

static void peer_in_error(void)
{
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };
	struct side a, b;

	make_pair(&a, &b, &impatient);
	EXPECT(ibv_modify_qp(b.qp, &error, IBV_QP_STATE) == 0, "to ERR");
	expect_retries_exceeded(&a, 0.0167 * 3, 3);
	destroy_pair(&a, &b);
}

static void peer_destroyed(void)
{
	struct side a, b;

	make_pair(&a, &b, &impatient);
	ibv_destroy_qp(b.qp);
	b.qp = NULL;
	expect_retries_exceeded(&a, 0.0167 * 3, 3);
	destroy_pair(&a, &b);
}

/* Somebody else's queue pair does not take our messages, though we name it. */
static void peer_connected_to_another(void)
{
	struct side a, b, c;
	struct address to;

	make_pair(&a, &b, &impatient);
	make_objects(&c, &impatient);
	to = address_of(&b);
	connect_side(&c, &impatient, &to);
	post_recv(&b, 9, 0, 64);
	expect_retries_exceeded(&c, 0.0167 * 3, 3);
	EXPECT_NO_WC(b.recv_cq);
	EXPECT_STATE(&b, IBV_QPS_RTS);
	destroy_pair(&a, &b);
	destroy_side(&c);
}

static void flush(void)
{
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };
	struct side a, b;

	make_pair(&a, &b, &plain);
	for (uint64_t i = 0; i < 20; i++) {
		post_simple(&a, i, IBV_WR_SEND, 0, 64, NULL);	/* b has no receive */
		post_recv(&a, 100 + i, 0, 64);
	}
	EXPECT(ibv_modify_qp(a.qp, &error, IBV_QP_STATE) == 0, "to ERR");
	for (uint64_t i = 0; i < 20; i++) {
		struct ibv_wc wc = EXPECT_WC(a.send_cq, i, IBV_WC_WR_FLUSH_ERR);

		EXPECT(wc.qp_num == a.qp->qp_num, "number of the queue pair");
		EXPECT_WC(a.recv_cq, 100 + i, IBV_WC_WR_FLUSH_ERR);
	}
	/* What is posted in the error state is flushed too. */
	post_simple(&a, 50, IBV_WR_SEND, 0, 64, NULL);
	post_recv(&a, 51, 0, 64);
	EXPECT_WC(a.send_cq, 50, IBV_WC_WR_FLUSH_ERR);
	EXPECT_WC(a.recv_cq, 51, IBV_WC_WR_FLUSH_ERR);
	EXPECT_NO_WC(a.send_cq);
	EXPECT_STATE(&b, IBV_QPS_RTS);
	destroy_pair(&a, &b);
}

/* Errors complete whether or not they were to be signalled; what was done before without a signal stays silent. */
static void unsignalled(void)
{
	struct plan plan = { .some_unsignalled = true };
	struct address to;
	struct request r;
	struct side a, b;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	for (uint64_t i = 0; i < 10; i++) {
		r = request(&a, i, IBV_WR_RDMA_WRITE, 0, 64, &to);
		r.wr.send_flags = 0;
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
	}
	EXPECT_NO_WC(a.send_cq);
	to.rkey ^= 1;
	for (uint64_t i = 10; i < 13; i++) {
		r = request(&a, i, IBV_WR_RDMA_WRITE, 0, 64, &to);
		r.wr.send_flags = 0;
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
	}
	EXPECT_WC(a.send_cq, 10, IBV_WC_REM_ACCESS_ERR);
	EXPECT_WC(a.send_cq, 11, IBV_WC_WR_FLUSH_ERR);
	EXPECT_WC(a.send_cq, 12, IBV_WC_WR_FLUSH_ERR);
	destroy_pair(&a, &b);
}

/* The queue pair can be used again after RESET. */
static void again_after_error(void)
{
	struct ibv_qp_attr reset = { .qp_state = IBV_QPS_RESET };
	struct address at_a, at_b;
	struct side a, b;

	make_pair(&a, &b, &plain);
	at_a = address_of(&a);
	at_b = address_of(&b);
	for (int round = 0; round < 5; round++) {
		struct address bad = at_b;

		fill(a.memory, 1000, (uint32_t)round);
		post_recv(&b, 1, 0, 1000);
		post_simple(&a, 2, IBV_WR_SEND, 0, 1000, NULL);
		EXPECT_WC(a.send_cq, 2, IBV_WC_SUCCESS);
		EXPECT_WC(b.recv_cq, 1, IBV_WC_SUCCESS);
		EXPECT(differs(b.memory, 1000, (uint32_t)round) == 1000, "wrong data in round %d", round);
		bad.rkey ^= 1;
		post_simple(&a, 3, IBV_WR_RDMA_WRITE, 0, 64, &bad);
		EXPECT_WC(a.send_cq, 3, IBV_WC_REM_ACCESS_ERR);
		EXPECT_STATE(&b, IBV_QPS_ERR);
		EXPECT(!ibv_modify_qp(a.qp, &reset, IBV_QP_STATE) && !ibv_modify_qp(b.qp, &reset, IBV_QP_STATE), "to RESET");
		connect_side(&a, &plain, &at_b);
		connect_side(&b, &plain, &at_a);
	}
	destroy_pair(&a, &b);
}

/* UC has no answers: what the responder refuses is lost, and the requester does not notice. */
static void uc_loses(void)
{
	struct plan plan = { .type = IBV_QPT_UC };
	struct address to;
	struct side a, b;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL);		/* no receive */
	EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
	to.rkey ^= 1;
	post_simple(&a, 2, IBV_WR_RDMA_WRITE, 0, 64, &to);	/* no such key */
	EXPECT_WC(a.send_cq, 2, IBV_WC_SUCCESS);
	EXPECT_STATE(&a, IBV_QPS_RTS);
	EXPECT_STATE(&b, IBV_QPS_RTS);
	fill(a.memory, 64, 9);
	post_recv(&b, 3, 0, 64);
	post_simple(&a, 4, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(b.recv_cq, 3, IBV_WC_SUCCESS);
	EXPECT(differs(b.memory, 64, 9) == 64, "wrong data");
	destroy_pair(&a, &b);
}

/* An error of a UC or UD request stops the send queue only, and RTS starts it again. */
static void send_queue_error(void)
{
	enum ibv_qp_type types[] = { IBV_QPT_UC, IBV_QPT_UD };

	for (int i = 0; i < 2; i++) {
		struct plan plan = { .type = types[i] };
		struct ibv_qp_attr rts = { .qp_state = IBV_QPS_RTS, .cur_qp_state = IBV_QPS_SQE };
		struct ibv_ah_attr way;
		struct ibv_ah *ah = NULL;
		struct address to;
		struct request r;
		struct side a, b;

		make_pair(&a, &b, &plan);
		to = address_of(&b);
		way = route(&a, &to);
		if (types[i] == IBV_QPT_UD)
			ah = ibv_create_ah(a.pd, &way);
		for (uint64_t id = 1; id <= 3; id++) {
			r = request(&a, id, IBV_WR_SEND, 0, 64, NULL);
			r.wr.wr.ud.ah = ah;
			r.wr.wr.ud.remote_qpn = b.qp->qp_num;
			r.wr.wr.ud.remote_qkey = QKEY;
			if (id == 1)
				r.sge.lkey ^= 1;
			EXPECT(post(&a, &r) == 0, "ibv_post_send");
		}
		EXPECT_WC(a.send_cq, 1, IBV_WC_LOC_PROT_ERR);
		EXPECT_WC(a.send_cq, 2, IBV_WC_WR_FLUSH_ERR);
		EXPECT_WC(a.send_cq, 3, IBV_WC_WR_FLUSH_ERR);
		EXPECT_STATE(&a, IBV_QPS_SQE);
		EXPECT(ibv_modify_qp(a.qp, &rts, IBV_QP_STATE | IBV_QP_CUR_STATE) == 0, "SQE to RTS: errno %d", errno);
		post_recv(&b, 8, 0, 1000);
		r.wr.wr_id = 4;
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
		EXPECT_WC(a.send_cq, 4, IBV_WC_SUCCESS);
		EXPECT_WC(b.recv_cq, 8, IBV_WC_SUCCESS);
		if (ah)
			ibv_destroy_ah(ah);
		destroy_pair(&a, &b);
	}
}

/* A datagram longer than the port's MTU is sent by nobody, without an error (IBTA C10-93.1.1). */
static void ud_too_long(void)
{
	struct plan plan = { .type = IBV_QPT_UD };
	struct ibv_ah_attr way;
	struct ibv_ah *ah;
	struct address to;
	struct request r;
	struct side a, b;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	way = route(&a, &to);
	ah = ibv_create_ah(a.pd, &way);
	post_recv(&b, 2, 0, 8192);
	r = request(&a, 1, IBV_WR_SEND, 0, 4097, NULL);
	r.wr.wr.ud.ah = ah;
	r.wr.wr.ud.remote_qpn = b.qp->qp_num;
	r.wr.wr.ud.remote_qkey = QKEY;
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
	EXPECT_NO_WC(b.recv_cq);
	EXPECT_STATE(&a, IBV_QPS_RTS);
	EXPECT_STATE(&b, IBV_QPS_RTS);
	ibv_destroy_ah(ah);
	destroy_pair(&a, &b);
}

/* Datagrams that nobody may have are lost without a word. */
static void ud_lost(void)
{
	struct plan plan = { .type = IBV_QPT_UD };
	struct ibv_ah_attr way;
	struct ibv_ah *ah, *nowhere;
	struct address to;
	struct side a, b;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	way = route(&a, &to);
	ah = ibv_create_ah(a.pd, &way);
	way.grh.dgid.raw[15] ^= 0x55;
	nowhere = ibv_create_ah(a.pd, &way);
	post_recv(&b, 1, 0, 200);
	for (uint64_t id = 1; id <= 4; id++) {
		struct request r = request(&a, id, IBV_WR_SEND, 0, 64, NULL);

		r.wr.wr.ud.ah = id == 3 ? nowhere : ah;
		r.wr.wr.ud.remote_qpn = b.qp->qp_num + (id == 2 ? 0x100000 : 0);
		r.wr.wr.ud.remote_qkey = QKEY + (id == 1);
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
		EXPECT_WC(a.send_cq, id, IBV_WC_SUCCESS);
		if (id < 4)
			EXPECT_NO_WC(b.recv_cq);
	}
	EXPECT_WC(b.recv_cq, 1, IBV_WC_SUCCESS);
	EXPECT_STATE(&a, IBV_QPS_RTS);
	ibv_destroy_ah(ah);
	ibv_destroy_ah(nowhere);
	destroy_pair(&a, &b);
}

/* Operations that a service type does not have. */
static void operations_of_other_types(void)
{
	struct {
		enum ibv_qp_type type;
		enum ibv_wr_opcode opcode;
	} cases[] = { { IBV_QPT_UC, IBV_WR_RDMA_READ }, { IBV_QPT_UC, IBV_WR_ATOMIC_FETCH_AND_ADD } };

	for (int i = 0; i < 2; i++) {
		struct plan plan = { .type = cases[i].type };
		struct address to;
		struct request r;
		struct side a, b;

		make_pair(&a, &b, &plan);
		to = address_of(&b);
		r = request(&a, 1, cases[i].opcode, 0, 8, &to);
		if (post(&a, &r) == 0) {
			EXPECT_WC(a.send_cq, 1, IBV_WC_LOC_QP_OP_ERR);
			EXPECT_STATE(&a, IBV_QPS_SQE);
		}
		EXPECT_STATE(&b, IBV_QPS_RTS);
		destroy_pair(&a, &b);
	}
}

int main(int argc, char **argv)
{
	CASE(local_length);
	CASE(local_length_beyond_maximum);
	CASE(local_protection);
	CASE(local_protection_of_other_pd);
	CASE(local_protection_after_dereg);
	CASE(local_protection_read_only);
	CASE(receive_protection);
	CASE(receive_into_read_only);
	CASE(remote_access);
	CASE(remote_access_of_other_pd);
	CASE(remote_access_after_dereg);
	CASE(zero_bytes_need_no_key);
	CASE(remote_invalid_request);
	CASE(rnr_retries_exceeded);
	CASE(rnr_with_no_retry);
	CASE(rnr_for_ever);
	CASE(no_such_queue_pair);
	CASE(no_such_host);
	CASE(peer_not_ready);
	CASE(peer_in_error);
	CASE(peer_destroyed);
	CASE(peer_connected_to_another);
	CASE(flush);
	CASE(unsignalled);
	CASE(again_after_error);
	CASE(uc_loses);
	CASE(send_queue_error);
	CASE(ud_too_long);
	CASE(ud_lost);
	CASE(operations_of_other_types);
	return failures != 0;
}
