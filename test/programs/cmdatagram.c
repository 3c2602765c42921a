/*
 * cmdatagram.c: datagram services and multicast groups over RDMA-CM, between
 * two programs. Expected is what two Linux kernels say (6.1, rdma_rxe).
 */
#include "cm.h"

#define CM_QKEY 0x01234567u	/* of the port space UDP */

/* Sends one message to a peer as an event told of it. */
static void send_to(struct conn *c, const struct news *n, uint32_t seed, uint32_t length)
{
	struct ibv_ah_attr attr = n->ud.ah_attr;
	struct ibv_ah *ah = ibv_create_ah(c->id->pd, &attr);

	EXPECT(ah, "ibv_create_ah: errno %d", errno);
	if (!ah)
		return;
	fill(c->memory, length, seed);
	WELL(rdma_post_ud_send(c->id, NULL, c->memory, length, c->mr, 0, ah, n->ud.qp_num));
	EXPECT_WC(c->id->send_cq, 0, IBV_WC_SUCCESS);
	ibv_destroy_ah(ah);
}

/* A message is there, behind its GRH. */
static void take(struct conn *c, uint32_t seed, uint32_t length)
{
	struct ibv_wc wc = EXPECT_WC(c->id->recv_cq, 0, IBV_WC_SUCCESS);

	EXPECT(wc.byte_len == length + 40, "%u bytes, expected %u", wc.byte_len, length + 40);
	EXPECT(differs(c->memory + 296, length, seed) == length, "byte %zu is wrong", differs(c->memory + 296, length, seed));
	WELL(rdma_post_recv(c->id, NULL, c->memory + 256, 256, c->mr));
}

/* A client asks for a service, is told the queue pair, and sends; the server answers to where the message came from. */
static void service(void)
{
	struct rdma_conn_param param = { 0 };
	struct conn c = { 0 };
	uint8_t data[256];
	struct news n;

	if (client) {
		together();
		resolve_to(&c, RDMA_PS_UDP, peer, 8200);
		equip(&c);
		fill(data, sizeof(data), 5);
		param.private_data = data;
		param.private_data_len = 180;
		WELL(rdma_connect(c.id, &param));
		n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
		EXPECT(n.ud.qkey == CM_QKEY && n.ud.qp_num != 0, "QKey %#x, queue pair %#x", n.ud.qkey, n.ud.qp_num);
		EXPECT(n.length == 136 && differs(n.data, 136, 6) == 136, "%u bytes of private data", n.length);
		EXPECT(n.ud.ah_attr.is_global && n.ud.ah_attr.port_num == 1, "the address handle is not global");
		if (!failure[0])
			send_to(&c, &n, 7, 100);
		together();
	} else {
		listen_at(&c, RDMA_PS_UDP, NULL, 8200, 0);
		together();
		n = take_request(&c);
		EXPECT(n.length == 180 && differs(n.data, 180, 5) == 180, "%u bytes of private data, wrong at %zu", n.length, differs(n.data, 180, 5));
		equip(&c);
		fill(data, sizeof(data), 6);
		param.private_data = data;
		param.private_data_len = 136;
		param.qp_num = c.id && c.id->qp ? c.id->qp->qp_num : 0;
		WELL(rdma_accept(c.id, &param));
		together();
		if (c.mr)
			take(&c, 7, 100);
		EXPECT_NO_NEWS(c.channel);
	}
	together();
	close_conn(&c);
}

static void no_service(void)
{
	struct rdma_conn_param param = { 0 };
	struct conn c;

	if (!client)
		return;
	resolve_to(&c, RDMA_PS_UDP, peer, 8201);
	equip(&c);
	WELL(rdma_connect(c.id, &param));
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_UNREACHABLE, 1);
	close_conn(&c);
}

static void refused(void)
{
	struct rdma_conn_param param = { 0 };
	struct conn c = { 0 };
	uint8_t data[8] = "no";
	struct news n;

	if (client) {
		together();
		resolve_to(&c, RDMA_PS_UDP, peer, 8202);
		equip(&c);
		WELL(rdma_connect(c.id, &param));
		n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_UNREACHABLE, 2);
		EXPECT(n.length == 136 && memcmp(n.data, data, sizeof(data)) == 0, "%u bytes of private data", n.length);
	} else {
		listen_at(&c, RDMA_PS_UDP, NULL, 8202, 0);
		together();
		take_request(&c);
		WELL(rdma_reject(c.id, data, sizeof(data)));
	}
	together();
	close_conn(&c);
}

/* Both sides of a group. */
static struct news join_group(struct conn *c, const char *group)
{
	struct sockaddr_storage at = address_at(group, 0), from = address_at(own, 0);
	struct news n;

	memset(c, 0, sizeof(*c));
	c->channel = open_channel();
	WELL(rdma_create_id(c->channel, &c->id, NULL, RDMA_PS_UDP));
	WELL(rdma_bind_addr(c->id, SOCKADDR(from)));
	WELL(rdma_resolve_addr(c->id, SOCKADDR(from), SOCKADDR(at), 2000));
	EXPECT_NEWS(c->channel, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
	equip(c);
	WELL(rdma_join_multicast(c->id, SOCKADDR(at), (void *)0x77));
	n = EXPECT_NEWS(c->channel, RDMA_CM_EVENT_MULTICAST_JOIN, 0);
	return n;
}

static void group(void)
{
	struct sockaddr_storage at = address_at("239.7.8.9", 0);
	union ibv_gid want = { .raw = { [10] = 0xff, [11] = 0xff, [12] = 239, [13] = 7, [14] = 8, [15] = 9 } };
	struct conn c;
	struct ibv_wc wc;
	struct news n = join_group(&c, "239.7.8.9");

	EXPECT(memcmp(&n.ud.ah_attr.grh.dgid, &want, 16) == 0, "another GID");
	EXPECT(n.ud.qp_num == 0xffffff && n.ud.qkey == CM_QKEY, "queue pair %#x, QKey %#x", n.ud.qp_num, n.ud.qkey);
	EXPECT(n.ud.private_data == (void *)0x77 || n.length == 0, "private data");
	together();
	pause_ms(300);	/* snooping bridges */
	together();
	if (client && !failure[0])
		send_to(&c, &n, 8, 64);
	if (!client && c.mr)
		take(&c, 8, 64);
	if (client && c.mr)	/* a member hears itself, once */
		take(&c, 8, 64);
	together();
	if (!failure[0])
		EXPECT_NO_WC(c.id->recv_cq);
	if (!client)
		WELL(rdma_leave_multicast(c.id, SOCKADDR(at)));
	FAILS(client ? -1 + (errno = EADDRNOTAVAIL) * 0 : rdma_leave_multicast(c.id, SOCKADDR(at)), EADDRNOTAVAIL);
	together();
	if (client && !failure[0])
		send_to(&c, &n, 9, 64);
	together();
	if (!client && !failure[0])
		expect(!next_wc(c.id->recv_cq, &wc, 0.3), __LINE__, "a message after leaving");
	together();
	close_conn(&c);
}

int main(int argc, char **argv)
{
	begin();
	TWO(service);
	TWO(no_service);
	TWO(refused);
	TWO(group);
	end();
	return failures > 0;
}
