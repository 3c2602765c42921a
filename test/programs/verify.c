/*
 * verify.c: what arrives is what was sent, and nothing else changes. Two
 * programs, "verify rc|uc|ud [SERVER]", go through the same steps; the client
 * sends, the server looks at every byte.
 */
#include "check.h"

#define HALF (12u << 20)	/* the first half is sent from, the second written to */
#define GUARD 64		/* bytes around a target that must not change */

static struct side me;
static struct address you;
static struct ibv_ah *ah;
static bool client;
static int meeting;
static uint32_t inline_room, port_mtu;

static const uint32_t sizes[] = { 0, 1, 2, 7, 8, 63, 64, 65, 187, 188, 189, 1023, 1024, 1025, 4095, 4096, 4097, 65535, 65536, 65537,
				  262143, 262144, 262145, 1 << 20, (1 << 20) + 13, 8 << 20 };
static const uint32_t offsets[] = { 0, 1, 4093 };

/* The server's target, with guards, gets another pattern before each step. */
static uint8_t *target(uint32_t offset)
{
	return me.memory + HALF + GUARD + offset;
}

static void prepare(uint32_t offset, uint32_t size, uint32_t seed)
{
	if (client)
		fill(me.memory + offset, size, seed);
	else
		memset(target(offset) - GUARD, 0xa5, (size_t)size + 2 * GUARD);
}

/* Both say whether all is well so far, so that one's failure ends both. */
static bool agree(void)
{
	uint8_t ours = failure[0] != 0, theirs;

	exchange(meeting, &ours, &theirs, 1);
	if (theirs)
		EXPECT(false, "the other side failed");
	return !ours && !theirs;
}

static void check(uint32_t offset, uint32_t size, uint32_t seed)
{
	size_t wrong = differs(target(offset), size, seed);

	EXPECT(wrong == size, "size %u, offset %u: wrong byte at %zu", size, offset, wrong);
	for (int i = 0; i < GUARD; i++) {
		EXPECT(target(offset)[-1 - i] == 0xa5, "size %u, offset %u: %d bytes before changed", size, offset, i + 1);
		EXPECT(target(offset)[size + (uint32_t)i] == 0xa5, "size %u, offset %u: %d bytes behind changed", size, offset, i);
	}
}

/* Splits a buffer in up to n unequal pieces. */
static int split(struct ibv_sge *sges, int n, const void *at, uint32_t size)
{
	uint64_t address = (uintptr_t)at;
	int used = 0;

	while (size && used < n) {
		uint32_t piece = used == n - 1 ? size : size / 3 + 1;

		sges[used++] = (struct ibv_sge){ address, piece, me.mr->lkey };
		address += piece;
		size -= piece;
	}
	return used;
}

static int pieces;	/* SGEs for either side */
static bool inlined;

static void arrive(enum ibv_wr_opcode opcode, uint32_t offset, uint32_t size, uint32_t seed)
{
	bool datagram = me.qp->qp_type == IBV_QPT_UD;
	struct ibv_wc wc;

	if (opcode == IBV_WR_RDMA_WRITE) {
		double end = now() + 10;

		/* UC's is complete once it has been sent. */
		while (me.qp->qp_type == IBV_QPT_UC && differs(target(offset), size, seed) != size && now() < end)
			sched_yield();
		return;
	}
	wc = EXPECT_WC(me.recv_cq, seed, IBV_WC_SUCCESS);
	EXPECT(wc.byte_len == size + (datagram ? 40 : 0), "length %u of %u", wc.byte_len, size);
	EXPECT(wc.qp_num == me.qp->qp_num, "number of the queue pair");
	if (opcode != IBV_WR_SEND)
		EXPECT((wc.wc_flags & IBV_WC_WITH_IMM) && ntohl(wc.imm_data) == seed, "immediate data %#x", ntohl(wc.imm_data));
	EXPECT(wc.opcode == (opcode == IBV_WR_RDMA_WRITE_WITH_IMM ? IBV_WC_RECV_RDMA_WITH_IMM : IBV_WC_RECV), "opcode %d", wc.opcode);
	if (datagram)
		EXPECT((wc.wc_flags & IBV_WC_GRH) && wc.src_qp == you.qpn &&
		       memcmp(target(offset) - 40 + 8, you.gid.raw, 16) == 0, "the global route header");
}

static void post_receive(enum ibv_wr_opcode opcode, uint32_t offset, uint32_t size, uint32_t seed)
{
	uint32_t head = me.qp->qp_type == IBV_QPT_UD ? 40 : 0;
	struct ibv_sge sges[8];
	struct ibv_recv_wr wr = { .wr_id = seed, .sg_list = sges }, *bad;

	if (opcode == IBV_WR_RDMA_WRITE)
		return;
	if (opcode != IBV_WR_RDMA_WRITE_WITH_IMM)
		wr.num_sge = split(sges, pieces, target(offset) - head, size + head);
	EXPECT(ibv_post_recv(me.qp, &wr, &bad) == 0, "ibv_post_recv");
}

static void transmit(enum ibv_wr_opcode opcode, uint32_t offset, uint32_t size, uint32_t seed)
{
	struct request r = request(&me, seed, opcode, offset, size, &you);
	struct ibv_send_wr *bad;
	struct ibv_sge sges[8];

	r.wr.num_sge = split(sges, pieces, me.memory + offset, size);
	r.wr.sg_list = sges;
	r.wr.imm_data = htonl(seed);
	if (opcode == IBV_WR_RDMA_WRITE || opcode == IBV_WR_RDMA_WRITE_WITH_IMM)
		r.wr.wr.rdma.remote_addr = you.memory + HALF + GUARD + offset;
	if (me.qp->qp_type == IBV_QPT_UD) {
		r.wr.wr.ud.ah = ah;
		r.wr.wr.ud.remote_qpn = you.qpn;
		r.wr.wr.ud.remote_qkey = QKEY;
	}
	if (inlined)
		r.wr.send_flags |= IBV_SEND_INLINE;
	EXPECT(ibv_post_send(me.qp, &r.wr, &bad) == 0, "ibv_post_send");
	if (inlined)	/* the buffer is ours again */
		memset(me.memory + offset, 0, size);
	EXPECT_WC(me.send_cq, seed, IBV_WC_SUCCESS);
}

/* One message of each size to each offset. */
static void messages(enum ibv_wr_opcode opcode)
{
	static uint32_t seed;
	uint32_t most = me.qp->qp_type == IBV_QPT_UD ? port_mtu : 8 << 20;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t j = 0; j < sizeof(offsets) / sizeof(offsets[0]); j++) {
			uint32_t size = sizes[i], offset = offsets[j];

			if (size > most || (inlined && size > inline_room))
				continue;
			prepare(offset, size, ++seed);
			if (!client)
				post_receive(opcode, offset, size, seed);
			if (!agree())
				return;
			if (client)
				transmit(opcode, offset, size, seed);
			else
				arrive(opcode, offset, size, seed);
			if (!agree())
				return;
			if (!client) {
				if (me.qp->qp_type == IBV_QPT_UD)	/* the header stands in the guard */
					memset(target(offset) - 40, 0xa5, 40);
				check(offset, size, seed);
			}
			if (!agree())
				return;
		}
}

#define VARIANTS(name, opcode) \
	static void name(void) { pieces = 1; inlined = false; messages(opcode); } \
	static void name##_of_pieces(void) { pieces = 4; inlined = false; messages(opcode); } \
	static void name##_inline(void) { pieces = 1; inlined = true; messages(opcode); }

VARIANTS(sends, IBV_WR_SEND)
VARIANTS(sends_with_immediate, IBV_WR_SEND_WITH_IMM)
VARIANTS(writes, IBV_WR_RDMA_WRITE)
VARIANTS(writes_with_immediate, IBV_WR_RDMA_WRITE_WITH_IMM)

/* The client reads; here it is the client that looks. */
static void reads(int npieces)
{
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t j = 0; j < sizeof(offsets) / sizeof(offsets[0]); j++) {
			uint32_t size = sizes[i], offset = offsets[j], seed = (uint32_t)(1000 + i * 8 + j);
			struct ibv_send_wr *bad;
			struct ibv_sge sges[8];

			if (client)
				memset(target(offset) - GUARD, 0xa5, (size_t)size + 2 * GUARD);
			else
				fill(me.memory + offset, size, seed);
			if (!agree())
				return;
			if (client) {
				struct request r = request(&me, seed, IBV_WR_RDMA_READ, 0, size, &you);

				r.wr.sg_list = sges;
				r.wr.num_sge = split(sges, npieces, target(offset), size);
				r.wr.wr.rdma.remote_addr = you.memory + offset;
				EXPECT(ibv_post_send(me.qp, &r.wr, &bad) == 0, "ibv_post_send");
				EXPECT_WC(me.send_cq, seed, IBV_WC_SUCCESS);
				check(offset, size, seed);
			}
			if (!agree())
				return;
		}
}

static void reads_whole(void) { reads(1); }
static void reads_of_pieces(void) { reads(4); }

static uint64_t *word(size_t i) { return (uint64_t *)(void *)me.memory + i; }

static uint64_t atomic(enum ibv_wr_opcode opcode, size_t at, uint64_t compare_add, uint64_t swap)
{
	struct request r = request(&me, 1, opcode, 0, 8, &you);

	r.sge.addr = (uintptr_t)word(100);
	r.wr.wr.atomic.remote_addr = you.memory + at * 8;
	r.wr.wr.atomic.compare_add = compare_add;
	r.wr.wr.atomic.swap = swap;
	EXPECT(post(&me, &r) == 0, "ibv_post_send");
	EXPECT_WC(me.send_cq, 1, IBV_WC_SUCCESS);
	return *word(100);
}

/* Both sides count on one word of the server's, one by fetch-and-add, one by compare-and-swap. */
static void atomics(void)
{
	enum { ROUNDS = 2000 };
	uint64_t old, saw;

	*word(0) = 5;
	*word(1) = ~0ull;
	if (!agree())
		return;
	if (client) {
		EXPECT(atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 2, 0) == ~0ull, "old value");
		EXPECT(atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 0, 0) == 1, "wrapped value %llu", (unsigned long long)*word(100));
		EXPECT(atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 1, 7, 9) == 1 && atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 0, 0) == 1, "swapped though it differs");
		EXPECT(atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 1, 1, 9) == 1 && atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 1, 0, 0) == 9, "not swapped");
	}
	if (!agree())
		return;
	for (int i = 0; i < ROUNDS && !failure[0]; i++) {
		if (client && i % 2) {
			atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 1, 0);
		} else if (client) {
			for (old = atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 0, 0, 0);
			     (saw = atomic(IBV_WR_ATOMIC_CMP_AND_SWP, 0, old, old + 1)) != old && !failure[0]; old = saw)
				;
		} else {
			__atomic_fetch_add(word(0), 1, __ATOMIC_SEQ_CST);	/* the processor counts too */
		}
	}
	if (agree() && !client)
		EXPECT(*word(0) == 5 + 2 * ROUNDS, "counted %llu", (unsigned long long)*word(0));
	agree();
}

/* A fenced request waits for reads before it; so does everything for the order of the queue. */
static void order(void)
{
	for (uint32_t i = 1; i <= 300; i++) {
		struct request write, read, again;
		struct ibv_send_wr *bad;

		if (!client)
			continue;
		write = request(&me, i, IBV_WR_RDMA_WRITE, 0, 8, &you);
		read = request(&me, i, IBV_WR_RDMA_READ, 0, 8, &you);
		again = request(&me, i, IBV_WR_RDMA_WRITE, 0, 8, &you);
		*word(0) = i;
		*word(8) = 0;
		read.sge.addr = (uintptr_t)word(8);
		again.sge.addr = (uintptr_t)word(8);	/* sends what the read brought */
		again.wr.wr.rdma.remote_addr = you.memory + 64;
		again.wr.send_flags |= IBV_SEND_FENCE;
		write.wr.sg_list = &write.sge;
		read.wr.sg_list = &read.sge;
		again.wr.sg_list = &again.sge;
		write.wr.next = &read.wr;
		read.wr.next = &again.wr;
		EXPECT(ibv_post_send(me.qp, &write.wr, &bad) == 0, "ibv_post_send");
		for (int k = 0; k < 3; k++)
			EXPECT_WC(me.send_cq, i, IBV_WC_SUCCESS);
		EXPECT(*word(8) == i, "read %llu after writing %u", (unsigned long long)*word(8), i);
		EXPECT(atomic(IBV_WR_ATOMIC_FETCH_AND_ADD, 8, 0, 0) == i, "the fenced write in round %u", i);
	}
	agree();
}

/* Many messages of all lengths at a time, both ways: all arrive, in order, whole. */
static void stream(void)
{
	enum { COUNT = 3000, WINDOW = 32, SLOT = 40000 };
	uint32_t posted = 0, received = 0, sent = 0, done = 0;
	double end = now() + 60;

	for (; posted < WINDOW; posted++)
		post_recv(&me, posted, HALF + posted % WINDOW * SLOT, SLOT);
	if (!agree())
		return;
	while ((received < COUNT || done < COUNT) && !failure[0]) {
		struct ibv_wc wc;

		if (sent < COUNT && sent - done < WINDOW) {
			uint32_t length = sent * 7919 % (sent % 5 ? 300 : SLOT);

			fill(me.memory + sent % WINDOW * SLOT, length, sent);
			post_simple(&me, sent, IBV_WR_SEND, sent % WINDOW * SLOT, length, NULL);
			sent++;
		}
		if (ibv_poll_cq(me.send_cq, 1, &wc) == 1) {
			EXPECT(wc.status == IBV_WC_SUCCESS && wc.wr_id == done, "sent %u: %s", done, ibv_wc_status_str(wc.status));
			done++;
		}
		if (ibv_poll_cq(me.recv_cq, 1, &wc) == 1) {
			uint32_t length = received * 7919 % (received % 5 ? 300 : SLOT);
			const uint8_t *at = me.memory + HALF + received % WINDOW * SLOT;

			EXPECT(wc.status == IBV_WC_SUCCESS && wc.wr_id == received && wc.byte_len == length, "message %u: %s, %u bytes of %u",
			       received, ibv_wc_status_str(wc.status), wc.byte_len, length);
			EXPECT(differs(at, length, received) == length, "message %u of %u bytes is wrong at %zu", received, length,
			       differs(at, length, received));
			received++;
			if (posted < COUNT) {
				post_recv(&me, posted, HALF + posted % WINDOW * SLOT, SLOT);
				posted++;
			}
		}
		EXPECT(now() < end, "sent %u, done %u, received %u in 60 s", sent, done, received);
	}
	agree();
}

int main(int argc, char **argv)
{
	struct plan plan = { .length = 2 * HALF, .inline_size = 256 };
	struct ibv_qp_init_attr init;
	struct ibv_port_attr port;
	struct ibv_ah_attr way;
	struct ibv_qp_attr attr;
	struct address mine;

	if (argc < 2)
		die("usage: verify rc|uc|ud [SERVER]");
	plan.type = strcmp(argv[1], "uc") == 0 ? IBV_QPT_UC : strcmp(argv[1], "ud") == 0 ? IBV_QPT_UD : IBV_QPT_RC;
	client = argc > 2;
	meeting = meet(client ? argv[2] : NULL);
	make_objects(&me, &plan);
	mine = address_of(&me);
	exchange(meeting, &mine, &you, sizeof(mine));
	connect_side(&me, &plan, &you);
	barrier(meeting);
	ibv_query_qp(me.qp, &attr, IBV_QP_CAP, &init);
	inline_room = init.cap.max_inline_data;
	ibv_query_port(me.context, 1, &port);
	port_mtu = 128u << port.active_mtu;
	way = route(&me, &you);
	if (plan.type == IBV_QPT_UD && !(ah = ibv_create_ah(me.pd, &way)))
		die("ibv_create_ah");
	argc = 1;
	CASE(sends);
	CASE(sends_of_pieces);
	CASE(sends_inline);
	CASE(sends_with_immediate);
	CASE(sends_with_immediate_of_pieces);
	CASE(sends_with_immediate_inline);
	if (plan.type != IBV_QPT_UD) {
		CASE(writes);
		CASE(writes_of_pieces);
		CASE(writes_inline);
		CASE(writes_with_immediate);
		CASE(writes_with_immediate_of_pieces);
		CASE(writes_with_immediate_inline);
	}
	if (plan.type == IBV_QPT_RC) {
		CASE(reads_whole);
		CASE(reads_of_pieces);
		CASE(atomics);
		CASE(order);
		CASE(stream);
	}
	if (ah)
		ibv_destroy_ah(ah);
	destroy_side(&me);
	report("clean_up");
	return failures != 0;
}
