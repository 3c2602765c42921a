/*
 * cmconnect.c: how connections of RDMA-CM come to be, between two programs:
 * what each side is told, parameter by parameter, and what the queue pairs are
 * like. Expected is what two Linux kernels say (6.1, rdma_rxe).
 */
#include "cm.h"

/* Private data of a length, with zeros behind it up to what a message has room for. */
static void expect_data(const struct news *n, size_t length, unsigned room, uint32_t seed)
{
	EXPECT(n->length == room, "%u bytes of private data, expected %u", n->length, room);
	EXPECT(differs(n->data, length, seed) == length, "private data of %zu bytes differ at %zu", length, differs(n->data, length, seed));
	for (size_t i = length; i < room; i++)
		EXPECT(n->data[i] == 0, "private data of %zu bytes, and then byte %zu is %#x", length, i, n->data[i]);
}

static struct rdma_conn_param param_with(const void *data, size_t length)
{
	struct rdma_conn_param param = usual_param;

	param.private_data = data;
	param.private_data_len = (uint8_t)length;
	return param;
}

static void established(void)
{
	struct conn c;

	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer, 8000);
		connect_one(&c);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8000, 0);
		together();
		accept_one(&c);
	}
	talk(&c);
	EXPECT_NO_NEWS(c.channel);
	together();
	close_conn(&c);
}

static void nobody_listens(void)
{
	struct rdma_conn_param param = usual_param;
	struct conn c;
	struct news n;

	if (!client)
		return;
	resolve_to(&c, RDMA_PS_TCP, peer, 8001);
	equip(&c);
	WELL(rdma_connect(c.id, &param));
	n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_REJECTED, 8);
	EXPECT(n.id == c.id, "of another identifier");
	close_conn(&c);
}

/* Private data of every telling length in REQ and REP. */
static void private_data(void)
{
	static const size_t asked[] = { 0, 1, 28, 55, 56 }, answered[] = { 0, 1, 97, 195, 196 };
	uint8_t data[256];
	struct conn c = { 0 };
	struct news n;

	if (!client)
		listen_at(&c, RDMA_PS_TCP, NULL, 8002, 0);
	together();
	for (size_t i = 0; i < 5; i++) {
		size_t length = client ? asked[i] : answered[i];
		struct rdma_conn_param param;

		fill(data, sizeof(data), client ? 5 : 6);
		param = param_with(data, length);
		if (client) {
			resolve_to(&c, RDMA_PS_TCP, peer, 8002);
			equip(&c);
			WELL(rdma_connect(c.id, &param));
			n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
			expect_data(&n, answered[i], 196, 6);
			talk(&c);
			together();
			close_conn(&c);
		} else {
			n = take_request(&c);
			expect_data(&n, asked[i], 56, 5);
			equip(&c);
			WELL(rdma_accept(c.id, &param));
			EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
			talk(&c);
			together();
			EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
			drop(&c);
		}
		blame(i == 0 ? "no data" : i == 4 ? "the most data" : "some data");
	}
	close_conn(&c);
}

/* More than there is room for is refused. That leaves the client as it was; an accept that fails has rejected. */
static void too_much_data(void)
{
	struct rdma_conn_param param;
	uint8_t data[256];
	struct conn c;

	fill(data, sizeof(data), 5);
	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer, 8003);
		equip(&c);
		param = param_with(data, 57);
		FAILS(rdma_connect(c.id, &param), EINVAL);
		param.private_data_len = 56;
		WELL(rdma_connect(c.id, &param));
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_REJECTED, 28);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8003, 0);
		together();
		take_request(&c);
		equip(&c);
		FAILS(rdma_reject(c.id, data, 149), EINVAL);
		param = param_with(data, 197);
		FAILS(rdma_accept(c.id, &param), EINVAL);
		FAILS(rdma_accept(c.id, NULL), EINVAL);
		EXPECT_NO_NEWS(c.channel);
	}
	together();
	close_conn(&c);
}

/* The server's refusal, with private data of each length. */
static void rejected(void)
{
	static const uint8_t lengths[] = { 0, 1, 147, 148 };
	struct rdma_conn_param param = usual_param;
	struct conn c = { 0 };
	uint8_t data[256];
	struct news n;

	fill(data, sizeof(data), 6);
	if (!client)
		listen_at(&c, RDMA_PS_TCP, NULL, 8004, 0);
	together();
	for (int i = 0; i < 4; i++) {
		if (client) {
			resolve_to(&c, RDMA_PS_TCP, peer, 8004);
			equip(&c);
			WELL(rdma_connect(c.id, &param));
			n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_REJECTED, 28);
			expect_data(&n, lengths[i], 148, 6);
			close_conn(&c);
		} else {
			take_request(&c);
			WELL(rdma_reject(c.id, data, lengths[i]));
			EXPECT_NO_NEWS(c.channel);
			drop(&c);
		}
		together();
	}
	close_conn(&c);
}

/* A request that the server drops without a word is rejected as well. */
static void request_dropped(void)
{
	struct rdma_conn_param param = usual_param;
	struct conn c = { 0 };

	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer, 8005);
		equip(&c);
		WELL(rdma_connect(c.id, &param));
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_REJECTED, 28);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8005, 0);
		together();
		take_request(&c);
		drop(&c);
	}
	together();
	close_conn(&c);
}

/* What a request says of its sender, and an answer of its. */
static void parameters(void)
{
	struct rdma_conn_param param = { .responder_resources = 3, .initiator_depth = 5, .retry_count = 4, .rnr_retry_count = 2, .flow_control = 1 };
	struct conn c = { 0 };
	struct news n;

	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer, 8006);
		equip(&c);
		WELL(rdma_connect(c.id, &param));
		n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
		EXPECT(n.conn.responder_resources == 1 && n.conn.initiator_depth == 2, "responder resources %u, initiator depth %u, expected 1, 2",
		       n.conn.responder_resources, n.conn.initiator_depth);
		EXPECT(n.conn.rnr_retry_count == 1 && n.conn.flow_control == 1 && n.conn.retry_count == 0, "RNR retries %u, flow control %u, retries %u, expected 1, 1, 0",
		       n.conn.rnr_retry_count, n.conn.flow_control, n.conn.retry_count);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8006, 0);
		together();
		n = take_request(&c);
		EXPECT(n.listener == c.listener, "listener %p, expected %p", (void *)n.listener, (void *)c.listener);
		EXPECT(n.conn.responder_resources == 5 && n.conn.initiator_depth == 3, "responder resources %u, initiator depth %u, expected 5, 3",
		       n.conn.responder_resources, n.conn.initiator_depth);
		EXPECT(n.conn.flow_control == 1 && n.conn.retry_count == 4 && n.conn.rnr_retry_count == 2 && n.conn.srq == 0,
		       "flow control %u, retries %u, RNR retries %u, SRQ %u, expected 1, 4, 2, 0", n.conn.flow_control, n.conn.retry_count,
		       n.conn.rnr_retry_count, n.conn.srq);
		EXPECT(n.conn.qp_num != 0, "no number of a queue pair");
		equip(&c);
		param.responder_resources = 2;
		param.initiator_depth = 1;
		param.rnr_retry_count = 1;
		WELL(rdma_accept(c.id, &param));
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	}
	talk(&c);
	together();
	close_conn(&c);
}

/* The queue pairs as RDMA-CM leaves them. */
static void queue_pairs(void)
{
	struct rdma_conn_param param = { .responder_resources = 3, .initiator_depth = 5, .retry_count = 4, .rnr_retry_count = 2 };
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct conn c = { 0 };
	struct news n;
	uint32_t remote = 0;

	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer, 8007);
		equip(&c);
		WELL(rdma_connect(c.id, &param));
		n = EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8007, 0);
		together();
		n = take_request(&c);
		remote = n.conn.qp_num;
		equip(&c);
		WELL(rdma_accept(c.id, NULL));
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	}
	talk(&c);
	if (!failure[0]) {
		WELL(ibv_query_qp(c.id->qp, &attr, -1 & 0x1fffff, &init));
		EXPECT(attr.qp_state == IBV_QPS_RTS, "state %d", attr.qp_state);
		EXPECT(client || attr.dest_qp_num == remote, "queue pair %#x, the request said %#x", attr.dest_qp_num, remote);
		EXPECT(attr.ah_attr.is_global && attr.ah_attr.port_num == 1, "is_global %u, port %u", attr.ah_attr.is_global, attr.ah_attr.port_num);
		EXPECT(memcmp(&attr.ah_attr.grh.dgid, &c.id->route.addr.addr.ibaddr.dgid, 16) == 0, "the route has another GID of the peer");
		/* rxe rounds up to powers of two */
		EXPECT(attr.max_rd_atomic == (client ? 5 : 3) || attr.max_rd_atomic == (client ? 8 : 4), "initiator depth %u", attr.max_rd_atomic);
		EXPECT(attr.max_dest_rd_atomic == (client ? 3 : 5) || attr.max_dest_rd_atomic == (client ? 4 : 8), "responder resources %u",
		       attr.max_dest_rd_atomic);
		EXPECT(attr.retry_cnt == 4 && attr.rnr_retry == (client ? 7 : 2), "retries %u, RNR retries %u", attr.retry_cnt, attr.rnr_retry);
		EXPECT(attr.min_rnr_timer == 0 && attr.timeout != 0, "RNR timer %u, timeout %u", attr.min_rnr_timer, attr.timeout);
	}
	together();
	close_conn(&c);
}

/* Who each side is, as both see it. */
static void addresses(void)
{
	struct sockaddr_in *local, *remote;
	struct conn c = { 0 };
	struct in_addr mine, yours = { 0 };

	inet_pton(AF_INET, own, &mine);
	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer, 8008);
		EXPECT(c.id->verbs && c.id->port_num == 1 && c.id->pd, "no device, port %u", c.id->port_num);
		EXPECT(c.id->route.num_paths == 1 && c.id->route.path_rec, "%d paths", c.id->route.num_paths);
		connect_one(&c);
		inet_pton(AF_INET, peer, &yours);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8008, 0);
		EXPECT(!c.listener->verbs, "a listener at every address is of a device");
		together();
		accept_one(&c);
	}
	if (c.id) {
		local = (struct sockaddr_in *)rdma_get_local_addr(c.id);
		remote = (struct sockaddr_in *)rdma_get_peer_addr(c.id);
		EXPECT(local->sin_family == AF_INET && local->sin_addr.s_addr == mine.s_addr, "own address %s", inet_ntoa(local->sin_addr));
		EXPECT(remote->sin_family == AF_INET && (!client || remote->sin_addr.s_addr == yours.s_addr), "peer's address %s", inet_ntoa(remote->sin_addr));
		EXPECT(client || ntohs(rdma_get_src_port(c.id)) == 8008, "own port %u", ntohs(rdma_get_src_port(c.id)));
		EXPECT(!client || ntohs(rdma_get_dst_port(c.id)) == 8008, "peer's port %u", ntohs(rdma_get_dst_port(c.id)));
		EXPECT(!client || ntohs(rdma_get_src_port(c.id)) >= 32768, "own port %u", ntohs(rdma_get_src_port(c.id)));
		EXPECT(client || ntohs(rdma_get_dst_port(c.id)) >= 32768, "peer's port %u", ntohs(rdma_get_dst_port(c.id)));
	}
	talk(&c);
	together();
	close_conn(&c);
}

/* Options show in the queue pair. */
static void options(void)
{
	uint8_t tos = 0x48, timeout = 16;
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr;
	struct conn c = { 0 };

	if (client) {
		struct sockaddr_storage at = address_at(peer, 8009);

		together();
		c.channel = open_channel();
		WELL(rdma_create_id(c.channel, &c.id, NULL, RDMA_PS_TCP));
		WELL(rdma_resolve_addr(c.id, NULL, SOCKADDR(at), 2000));
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
		WELL(rdma_set_option(c.id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &tos, sizeof(tos)));
		WELL(rdma_set_option(c.id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &timeout, sizeof(timeout)));
		FAILS(rdma_set_option(c.id, RDMA_OPTION_ID, RDMA_OPTION_ID_TOS, &at, 4), EINVAL);
		FAILS(rdma_set_option(c.id, RDMA_OPTION_ID, 99, &tos, sizeof(tos)), ENOSYS);
		FAILS(rdma_set_option(c.id, 99, RDMA_OPTION_ID_TOS, &tos, sizeof(tos)), ENOSYS);
		WELL(rdma_resolve_route(c.id, 2000));
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
		connect_one(&c);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8009, 0);
		together();
		accept_one(&c);
	}
	talk(&c);
	if (!failure[0]) {
		WELL(ibv_query_qp(c.id->qp, &attr, -1 & 0x1fffff, &init));
		EXPECT(attr.ah_attr.grh.traffic_class == tos, "traffic class %#x", attr.ah_attr.grh.traffic_class);
		EXPECT(!client || attr.timeout == timeout, "timeout %u", attr.timeout);
	}
	together();
	close_conn(&c);
}

/* Identifiers without channels: rdma_getaddrinfo, rdma_create_ep and calls that wait. */
static void synchronous(void)
{
	struct rdma_addrinfo hints = { .ai_port_space = RDMA_PS_TCP, .ai_flags = client ? 0 : RAI_PASSIVE }, *found = NULL;
	struct ibv_qp_init_attr attr = { .sq_sig_all = 1, .cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 } };
	struct conn c = { 0 };

	WELL(rdma_getaddrinfo((char *)(client ? peer : own), "8010", &hints, &found));
	if (client)
		together();
	WELL(rdma_create_ep(client ? &c.id : &c.listener, found, NULL, &attr));
	if (!client) {
		WELL(rdma_listen(c.listener, 0));
		together();
		WELL(rdma_get_request(c.listener, &c.id));
	}
	if (c.id) {
		c.mr = rdma_reg_msgs(c.id, c.memory, sizeof(c.memory));
		WELL(rdma_post_recv(c.id, NULL, c.memory + 256, 256, c.mr));
		WELL(client ? rdma_connect(c.id, NULL) : rdma_accept(c.id, NULL));
		talk(&c);
	}
	together();
	if (c.id && client)
		WELL(rdma_disconnect(c.id));
	if (c.mr)
		rdma_dereg_mr(c.mr);
	if (c.id)
		rdma_destroy_ep(c.id);
	if (c.listener)
		rdma_destroy_ep(c.listener);
	if (found)
		rdma_freeaddrinfo(found);
}

static void synchronous_nobody(void)
{
	struct ibv_qp_init_attr attr = { .cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 } };
	struct rdma_addrinfo hints = { .ai_port_space = RDMA_PS_TCP }, *found = NULL;
	struct rdma_cm_id *id = NULL;

	if (!client)
		return;
	WELL(rdma_getaddrinfo((char *)peer, "8001", &hints, &found));
	WELL(rdma_create_ep(&id, found, NULL, &attr));
	if (id) {
		FAILS(rdma_connect(id, NULL), ECONNREFUSED);
		rdma_destroy_ep(id);
	}
	rdma_freeaddrinfo(found);
}

/* The same over IPv6. */
static void over_ipv6(void)
{
	struct conn c;

	if (!own6) {
		skip = "no IPv6 address is known (CM_OWN6)";
		return;
	}
	if (client) {
		together();
		resolve_to(&c, RDMA_PS_TCP, peer6, 8011);
		connect_one(&c);
	} else {
		listen_at(&c, RDMA_PS_TCP, "::", 8011, 0);	/* takes IPv4 as well */
		together();
		accept_one(&c);
	}
	if (c.id)
		EXPECT(rdma_get_peer_addr(c.id)->sa_family == AF_INET6, "a peer of family %d", rdma_get_peer_addr(c.id)->sa_family);
	talk(&c);
	together();
	close_conn(&c);
}

/* Both connect to each other at the same time: two connections. The server knows the client's address by the control connection. */
static void crossing(void)
{
	struct conn c, passive;
	struct rdma_conn_param param = usual_param;

	listen_at(&passive, RDMA_PS_TCP, NULL, 8012, 0);
	together();
	if (!client) {
		struct sockaddr_in *from = (struct sockaddr_in *)rdma_get_peer_addr(control.id);
		static char text[INET_ADDRSTRLEN];

		inet_ntop(AF_INET, &from->sin_addr, text, sizeof(text));
		resolve_to(&c, RDMA_PS_TCP, text, 8012);
	} else {
		resolve_to(&c, RDMA_PS_TCP, peer, 8012);
	}
	equip(&c);
	together();
	WELL(rdma_connect(c.id, &param));
	take_request(&passive);
	if (passive.id) {
		equip(&passive);
		WELL(rdma_accept(passive.id, &param));
	}
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	EXPECT_NEWS(passive.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	talk(client ? &c : &passive);
	talk(client ? &passive : &c);
	together();
	close_conn(&c);
	close_conn(&passive);
}

/* Many at once over one channel and one listener. */
static void hundred(void)
{
	enum { MANY = 100 };
	static struct conn c[MANY];
	struct conn l = { 0 };
	struct rdma_conn_param param = usual_param;
	int up = 0;

	memset(c, 0, sizeof(c));
	if (client) {
		together();
		for (int i = 0; i < MANY; i++) {
			resolve_to(&c[i], RDMA_PS_TCP, peer, 8013);
			equip(&c[i]);
		}
		for (int i = 0; i < MANY; i++)
			WELL(rdma_connect(c[i].id, &param));
		for (int i = 0; i < MANY; i++)
			EXPECT_NEWS(c[i].channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	} else {
		listen_at(&l, RDMA_PS_TCP, NULL, 8013, MANY);
		together();
		for (int i = 0; up < MANY && !failure[0];) {
			struct news n = next_news(l.channel, PATIENCE);

			if (n.what == RDMA_CM_EVENT_CONNECT_REQUEST && i < MANY) {
				c[i].id = n.id;
				equip(&c[i]);
				WELL(rdma_accept(c[i++].id, &param));
			} else {
				EXPECT(n.what == RDMA_CM_EVENT_ESTABLISHED, "%s with %d after %d requests, %d connections", name_of(n.what), n.status, i, up);
				up++;
			}
		}
	}
	for (int i = 0; i < MANY; i++)	/* the other side may have them in another order */
		say(&c[i]);
	for (int i = 0; i < MANY; i++)
		hear(&c[i]);
	together();
	for (int i = 0; i < MANY; i++)
		close_conn(&c[i]);
	close_conn(&l);
}

int main(int argc, char **argv)
{
	begin();
	TWO(established);
	TWO(nobody_listens);
	TWO(private_data);
	TWO(too_much_data);
	TWO(rejected);
	TWO(request_dropped);
	TWO(parameters);
	TWO(queue_pairs);
	TWO(addresses);
	TWO(options);
	TWO(synchronous);
	TWO(synchronous_nobody);
	TWO(over_ipv6);
	TWO(crossing);
	TWO(hundred);
	end();
	return failures > 0;
}
