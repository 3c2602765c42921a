/*
 * volume.c: moves many bytes through one RC queue pair in messages of mixed
 * sizes, and looks at every byte.
 *
 *	volume send|write|read MIB SEED [SERVER]
 *
 * With send and write the client's data go to the server; with read the client
 * fetches the server's. Whoever has the data fills a slot and tells of it by a
 * SEND (with send, that is the message itself; with write, one without data
 * behind the RDMA WRITE); the other one checks the slot and gives it back by a
 * SEND without data. Both say what they moved and how fast; nothing that comes
 * to pass for STALLED seconds is an error.
 */
#include "check.h"

#define SLOTS 16
#define ROOM ((1u << 20) + 128)	/* of a slot; a multiple of 8 */
#define STALLED 30

static struct side me;
static struct address you;
static uint32_t seed;
static uint64_t total;		/* bytes */
static enum { BY_SEND, BY_WRITE, BY_READ } way;

static uint64_t mixed(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9ull;
	x = (x ^ x >> 27) * 0x94d049bb133111ebull;
	return x ^ x >> 31;
}

/* Half of the messages are up to 1 MiB, the others of a few bytes to a few packets. */
static uint32_t size_of(uint64_t number)
{
	uint64_t r = mixed(number * 2 + 1 + ((uint64_t)seed << 32));
	uint32_t most[] = { 200, 5000, 70000, 70000, 1 << 20, 1 << 20, 1 << 20, 1 << 20 };

	return 1 + (uint32_t)((r >> 8) % most[r & 7]);
}

/* Messages begin at any byte. */
static size_t place_of(uint64_t number)
{
	return number % SLOTS * (size_t)ROOM + mixed(number + ((uint64_t)seed << 32)) % 64;
}

/* Eight bytes at a time: the pattern must not take longer than the wire. */
static uint64_t word_of(uint64_t number, uint64_t i)
{
	uint64_t x = (number << 20 ^ i) * 0x9e3779b97f4a7c15ull + seed;

	return x ^ x >> 29;
}

static void put_message(uint64_t number)
{
	uint8_t *at = me.memory + place_of(number);
	uint32_t size = size_of(number);

	for (uint32_t i = 0; i < size; i += 8) {
		uint64_t word = word_of(number, i);

		memcpy(at + i, &word, size - i < 8 ? size - i : 8);
	}
}

static void check_message(uint64_t number)
{
	const uint8_t *at = me.memory + place_of(number);
	uint32_t size = size_of(number);

	for (uint32_t i = 0; i < size; i += 8) {
		uint64_t word = word_of(number, i);

		if (memcmp(at + i, &word, size - i < 8 ? size - i : 8) != 0) {
			EXPECT(false, "message %llu of %u bytes is wrong at byte %u or up to 7 behind", (unsigned long long)number, size, i);
			return;
		}
	}
}

/* Sleeps until something completes on either queue, or until it is clear that nothing will. */
static void take(struct ibv_wc *wc, bool *sent)
{
	double end = now() + STALLED;

	for (;;) {
		struct pollfd polled = { me.channel->fd, POLLIN, 0 };
		struct ibv_cq *cq;
		void *context;

		for (int armed = 0; armed < 2; armed++) {
			if (ibv_poll_cq(me.send_cq, 1, wc) == 1 || ibv_poll_cq(me.recv_cq, 1, wc) == 1) {
				*sent = !(wc->status == IBV_WC_SUCCESS && wc->opcode & IBV_WC_RECV);
				return;
			}
			if (!armed) {
				ibv_req_notify_cq(me.send_cq, 0);
				ibv_req_notify_cq(me.recv_cq, 0);
			}
		}
		if (now() > end) {
			EXPECT(false, "nothing has come to pass for %d s", STALLED);
			memset(wc, 0, sizeof(*wc));
			wc->status = IBV_WC_GENERAL_ERR;
			return;
		}
		if (poll(&polled, 1, 1000) == 1 && ibv_get_cq_event(me.channel, &cq, &context) == 0)
			ibv_ack_cq_events(cq, 1);
	}
}

static void receive(uint64_t number, bool data)
{
	EXPECT(post_recv(&me, number, data ? place_of(number) : 0, data ? size_of(number) : 0) == 0, "ibv_post_recv: errno %d", errno);
}

static void request_for(uint64_t number, enum ibv_wr_opcode opcode, uint32_t size)
{
	struct request r = request(&me, number, opcode, place_of(number), size, &you);

	if (size == 0)
		r.wr.imm_data = htonl((uint32_t)number);
	EXPECT(post(&me, &r) == 0, "ibv_post_send: errno %d", errno);
}

/* Has the data: fills slots as they come back. */
static uint64_t produce(void)
{
	uint64_t put = 0, back = 0, bytes = 0, open = 0;

	while ((bytes < total || back < put || open) && !failure[0]) {
		struct ibv_wc wc;
		bool sent;

		while (bytes < total && put - back < SLOTS) {
			put_message(put);
			if (way == BY_WRITE)
				request_for(put, IBV_WR_RDMA_WRITE, size_of(put));
			if (way == BY_SEND)
				request_for(put, IBV_WR_SEND, size_of(put));
			else
				request_for(put, IBV_WR_SEND_WITH_IMM, 0);
			open += way == BY_WRITE ? 2 : 1;
			bytes += size_of(put++);
		}
		take(&wc, &sent);
		EXPECT(wc.status == IBV_WC_SUCCESS, "%s of %llu: %s", sent ? "request" : "receive", (unsigned long long)wc.wr_id, ibv_wc_status_str(wc.status));
		if (sent) {
			open--;
			continue;
		}
		EXPECT(ntohl(wc.imm_data) == (uint32_t)back, "slot %u comes back, %llu is due", ntohl(wc.imm_data), (unsigned long long)back);
		receive(SLOTS + back++, false);
	}
	return bytes;
}

/* Looks at a message and gives its slot back. */
static void consume_message(uint64_t number)
{
	check_message(number);
	receive(number + SLOTS, way == BY_SEND);
	request_for(number, IBV_WR_SEND_WITH_IMM, 0);
}

static uint64_t consume(void)
{
	uint64_t came = 0, bytes = 0, open = 0;

	while ((bytes < total || open) && !failure[0]) {
		struct ibv_wc wc;
		bool sent;

		take(&wc, &sent);
		EXPECT(wc.status == IBV_WC_SUCCESS, "%s of %llu: %s", sent ? "request" : "receive", (unsigned long long)wc.wr_id, ibv_wc_status_str(wc.status));
		if (failure[0])
			break;
		if (sent) {
			open--;
			if (wc.opcode != IBV_WC_RDMA_READ)
				continue;
			open++;
			bytes += size_of(wc.wr_id);
			consume_message(wc.wr_id);
			continue;
		}
		open++;
		if (way == BY_SEND)
			EXPECT(wc.byte_len == size_of(came), "message %llu has %u bytes of %u", (unsigned long long)came, wc.byte_len, size_of(came));
		else
			EXPECT(ntohl(wc.imm_data) == (uint32_t)came, "message %u came, %llu is due", ntohl(wc.imm_data), (unsigned long long)came);
		if (way == BY_READ) {
			request_for(came, IBV_WR_RDMA_READ, size_of(came));
		} else {
			bytes += size_of(came);
			consume_message(came);
		}
		came++;
	}
	return bytes;
}

int main(int argc, char **argv)
{
	struct plan plan = { .length = SLOTS * (size_t)ROOM, .depth = 4 * SLOTS, .events = true, .mtu = IBV_MTU_4096, .timeout = 18 /* 1 s */ };
	struct ibv_port_attr port;
	struct address mine;
	bool producer;
	uint64_t bytes;
	double start;
	int meeting;

	if (argc < 4)
		die("usage: volume send|write|read MIB SEED [SERVER]");
	way = strcmp(argv[1], "send") == 0 ? BY_SEND : strcmp(argv[1], "write") == 0 ? BY_WRITE : BY_READ;
	total = strtoull(argv[2], NULL, 0) << 20;
	seed = (uint32_t)strtoul(argv[3], NULL, 0);
	producer = (argc > 4) == (way != BY_READ);
	meeting = meet(argv[4]);
	make_objects(&me, &plan);
	ibv_query_port(me.context, 1, &port);
	if (port.active_mtu < IBV_MTU_4096)
		plan.mtu = (int)port.active_mtu;
	mine = address_of(&me);
	exchange(meeting, &mine, &you, sizeof(mine));
	connect_side(&me, &plan, &you);
	for (uint64_t i = 0; i < SLOTS; i++)
		receive(i, !producer && way == BY_SEND);
	barrier(meeting);
	start = now();
	bytes = producer ? produce() : consume();
	if (!failure[0])
		printf("moved %llu bytes in %.3f s: %.1f MB/s\n", (unsigned long long)bytes, now() - start, (double)bytes / 1e6 / (now() - start));
	report(argv[1]);
	if (!failures)
		barrier(meeting);
	destroy_side(&me);
	report("clean_up");
	return failures != 0;
}
