/*
 * windows.c: memory windows of both types: what they show, to whom, and until
 * when.
 */
#include "check.h"

static struct plan plain;

static struct ibv_mw_bind_info over(struct side *side, size_t offset, size_t length, unsigned access)
{
	return (struct ibv_mw_bind_info){ .mr = side->mr, .addr = (uintptr_t)side->memory + offset, .length = length, .mw_access_flags = access };
}

/* a writes to b through a key; the status that a gets. */
static void write_through(struct side *a, struct side *b, uint32_t key, size_t offset, enum ibv_wc_status expected)
{
	struct address to = address_of(b);

	to.rkey = key;
	post_simple(a, 50, IBV_WR_RDMA_WRITE, offset, 64, &to);
	EXPECT_WC(a->send_cq, 50, expected);
}

/* Binds a window of type 1 to a page. */
static void bind_type_1(struct side *side, struct ibv_mw *mw, size_t offset, unsigned access)
{
	struct ibv_mw_bind bind = { .wr_id = 1, .send_flags = IBV_SEND_SIGNALED, .bind_info = over(side, offset, 4096, access) };

	EXPECT(ibv_bind_mw(side->qp, mw, &bind) == 0, "ibv_bind_mw");
	EXPECT_WC(side->send_cq, 1, IBV_WC_SUCCESS);
}

static void type_1(void)
{
	struct side a, b;
	struct ibv_mw *mw;
	uint32_t old;

	make_pair(&a, &b, &plain);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_1);
	if (!EXPECT(mw, "ibv_alloc_mw: errno %d", errno))
		return;
	bind_type_1(&b, mw, 4096, IBV_ACCESS_REMOTE_WRITE);
	old = mw->rkey;
	fill(a.memory, a.length, 3);
	write_through(&a, &b, mw->rkey, 4096, IBV_WC_SUCCESS);
	EXPECT(memcmp(a.memory + 4096, b.memory + 4096, 64) == 0, "data");
	EXPECT(ibv_dereg_mr(b.mr) == EBUSY, "a registration with a window on it went");
	/* Bound again, the old key is of no use. */
	bind_type_1(&b, mw, 8192, IBV_ACCESS_REMOTE_WRITE);
	EXPECT(mw->rkey != old, "the same key again");
	write_through(&a, &b, mw->rkey, 8192, IBV_WC_SUCCESS);
	write_through(&a, &b, old, 8192, IBV_WC_REM_ACCESS_ERR);
	EXPECT(ibv_dealloc_mw(mw) == 0, "ibv_dealloc_mw: errno %d", errno);
	destroy_pair(&a, &b);
}

static void bounds_and_rights(void)
{
	struct { size_t offset; unsigned access; } cases[] = { { 4096 - 1, IBV_ACCESS_REMOTE_WRITE }, { 8192 - 63, IBV_ACCESS_REMOTE_WRITE }, { 4096, IBV_ACCESS_REMOTE_READ } };

	for (int i = 0; i < 3; i++) {
		struct side a, b;
		struct ibv_mw *mw;

		make_pair(&a, &b, &plain);
		mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_1);
		bind_type_1(&b, mw, 4096, cases[i].access);
		write_through(&a, &b, mw->rkey, cases[i].offset, IBV_WC_REM_ACCESS_ERR);
		ibv_dealloc_mw(mw);
		destroy_pair(&a, &b);
	}
}

static uint32_t bind_type_2(struct side *side, struct ibv_mw *mw, enum ibv_wc_status expected)
{
	struct ibv_send_wr wr = { .wr_id = 2, .opcode = IBV_WR_BIND_MW, .send_flags = IBV_SEND_SIGNALED }, *bad;

	wr.bind_mw.mw = mw;
	wr.bind_mw.rkey = ibv_inc_rkey(mw->rkey);
	wr.bind_mw.bind_info = over(side, 0, 4096, IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
	EXPECT(ibv_post_send(side->qp, &wr, &bad) == 0, "ibv_post_send of a bind");
	EXPECT_WC(side->send_cq, 2, expected);
	return wr.bind_mw.rkey;
}

static void type_2(void)
{
	struct ibv_send_wr wr = { .wr_id = 3, .opcode = IBV_WR_LOCAL_INV, .send_flags = IBV_SEND_SIGNALED }, *bad;
	struct side a, b;
	struct ibv_mw *mw;
	uint32_t key;

	make_pair(&a, &b, &plain);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	if (!EXPECT(mw, "ibv_alloc_mw: errno %d", errno))
		return;
	key = bind_type_2(&b, mw, IBV_WC_SUCCESS);
	write_through(&a, &b, key, 0, IBV_WC_SUCCESS);
	wr.invalidate_rkey = key;
	EXPECT(ibv_post_send(b.qp, &wr, &bad) == 0, "ibv_post_send of an invalidate");
	EXPECT_WC(b.send_cq, 3, IBV_WC_SUCCESS);
	write_through(&a, &b, key, 0, IBV_WC_REM_ACCESS_ERR);
	ibv_dealloc_mw(mw);
	destroy_pair(&a, &b);
}

/* The peer takes the window back. */
static void send_with_invalidate(void)
{
	struct request r;
	struct ibv_wc wc;
	struct side a, b;
	struct ibv_mw *mw;
	uint32_t key;

	make_pair(&a, &b, &plain);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	key = bind_type_2(&b, mw, IBV_WC_SUCCESS);
	write_through(&a, &b, key, 0, IBV_WC_SUCCESS);
	post_recv(&b, 1, 8192, 64);
	r = request(&a, 4, IBV_WR_SEND, 0, 64, NULL);
	r.wr.opcode = IBV_WR_SEND_WITH_INV;
	r.wr.invalidate_rkey = key;
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	EXPECT_WC(a.send_cq, 4, IBV_WC_SUCCESS);
	wc = EXPECT_WC(b.recv_cq, 1, IBV_WC_SUCCESS);
	EXPECT((wc.wc_flags & IBV_WC_WITH_INV) && wc.invalidated_rkey == key, "the key that was invalidated: %#x", wc.invalidated_rkey);
	write_through(&a, &b, key, 0, IBV_WC_REM_ACCESS_ERR);
	ibv_dealloc_mw(mw);
	destroy_pair(&a, &b);
}

/* A window of type 2 serves the queue pair that bound it. */
static void of_one_queue_pair(void)
{
	struct side a, b, c, d;
	struct address to;
	struct ibv_mw *mw;
	uint32_t key;

	make_pair(&a, &b, &plain);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	key = bind_type_2(&b, mw, IBV_WC_SUCCESS);
	make_pair(&c, &d, &plain);
	to = address_of(&b);
	to.rkey = key;
	post_simple(&c, 5, IBV_WR_RDMA_WRITE, 0, 64, &to);	/* by way of d */
	EXPECT_WC(c.send_cq, 5, IBV_WC_REM_ACCESS_ERR);
	write_through(&a, &b, key, 0, IBV_WC_SUCCESS);
	ibv_dealloc_mw(mw);
	destroy_pair(&a, &b);
	destroy_pair(&c, &d);
}

static void bind_twice(void)
{
	struct side a, b;
	struct ibv_mw *mw;

	make_pair(&a, &b, &plain);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	mw->rkey = bind_type_2(&b, mw, IBV_WC_SUCCESS);
	bind_type_2(&b, mw, IBV_WC_MW_BIND_ERR);
	EXPECT_STATE(&b, IBV_QPS_ERR);
	ibv_dealloc_mw(mw);
	destroy_pair(&a, &b);
}

static void needs_the_right(void)
{
	struct plan plan = { .access = ALL_ACCESS & ~IBV_ACCESS_MW_BIND };
	struct side a, b;
	struct ibv_mw *mw;

	make_pair(&a, &b, &plan);
	mw = ibv_alloc_mw(b.pd, IBV_MW_TYPE_2);
	bind_type_2(&b, mw, IBV_WC_MW_BIND_ERR);
	ibv_dealloc_mw(mw);
	destroy_pair(&a, &b);
}

int main(int argc, char **argv)
{
	CASE(type_1);
	CASE(bounds_and_rights);
	CASE(type_2);
	CASE(send_with_invalidate);
	CASE(of_one_queue_pair);
	CASE(bind_twice);
	CASE(needs_the_right);
	return failures != 0;
}
