/*
 * cm.h: what the test programs over RDMA-CM share.
 *
 * A program is a server, or a client if CM_PEER names the server's address.
 * Both go through the same cases, and each says what it saw. They keep step
 * over a connection of RDMA-CM of their own, so that one address is enough:
 *
 *	CM_OWN   the side's own address
 *	CM_PEER  the server's, of a client
 *	CM_OWN6, CM_PEER6  the same of IPv6, if both have one
 */
#ifndef CM_H
#define CM_H

#include "check.h"

#include <net/if.h>
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>

#define CONTROL_PORT 7900
#define PATIENCE 20.0	/* s; what takes milliseconds where nobody else wants the machine */

static const char *own, *peer, *own6, *peer6;
static bool client;

/* An address with a port; text NULL is any address. */
MAYBE_UNUSED static struct sockaddr_storage address_at(const char *text, int port)
{
	struct sockaddr_storage storage = { 0 };
	struct sockaddr_in *in = (struct sockaddr_in *)&storage;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&storage;

	if (!text || inet_pton(AF_INET, text, &in->sin_addr) == 1) {
		in->sin_family = AF_INET;
		in->sin_port = htons((uint16_t)port);
	} else if (inet_pton(AF_INET6, text, &in6->sin6_addr) == 1) {
		in6->sin6_family = AF_INET6;
		in6->sin6_port = htons((uint16_t)port);
		if (IN6_IS_ADDR_LINKLOCAL(&in6->sin6_addr))
			in6->sin6_scope_id = if_nametoindex("eth0");
	} else {
		die("%s is no address", text);
	}
	return storage;
}

#define SOCKADDR(storage) ((struct sockaddr *)&(storage))

/* An event that has been acknowledged, with what it pointed to. */
struct news {
	int what;	/* -1 if none came in time */
	int status;
	struct rdma_cm_id *id, *listener;
	struct rdma_conn_param conn;
	struct rdma_ud_param ud;
	uint8_t data[256];
	unsigned length;
};

MAYBE_UNUSED static bool readable(struct rdma_event_channel *channel, double limit)
{
	struct pollfd polled = { channel->fd, POLLIN, 0 };

	return poll(&polled, 1, (int)(limit * 1000)) == 1 && polled.revents == POLLIN;
}

MAYBE_UNUSED static struct news news_of(struct rdma_cm_event *event, bool datagram)
{
	struct news n = { .what = event->event, .status = event->status, .id = event->id, .listener = event->listen_id,
		.conn = event->param.conn, .ud = event->param.ud };
	const void *data = datagram ? n.ud.private_data : n.conn.private_data;

	n.length = datagram ? n.ud.private_data_len : n.conn.private_data_len;
	if (data && n.length)
		memcpy(n.data, data, n.length);
	return n;
}

MAYBE_UNUSED static struct news next_news(struct rdma_event_channel *channel, double limit)
{
	struct rdma_cm_event *event;
	struct news n = { .what = -1 };

	if (!readable(channel, limit))
		return n;
	if (rdma_get_cm_event(channel, &event) != 0) {
		n.status = errno;
		return n;
	}
	n = news_of(event, event->id->ps == RDMA_PS_UDP);
	rdma_ack_cm_event(event);
	return n;
}

MAYBE_UNUSED static const char *name_of(int what) { return what < 0 ? "nothing" : rdma_event_str(what); }

#define EXPECT_NEWS(channel, what, status) expect_news((channel), (what), (status), __LINE__)

/* The next event of a channel is this one. */
MAYBE_UNUSED static struct news expect_news(struct rdma_event_channel *channel, int what, int status, int line)
{
	struct news n = next_news(channel, PATIENCE);

	expect(n.what == what && n.status == status, line, "%s with status %d, expected %s with %d", name_of(n.what), n.status,
	       name_of(what), status);
	return n;
}

#define EXPECT_NO_NEWS(channel) expect_no_news((channel), __LINE__)

MAYBE_UNUSED static void expect_no_news(struct rdma_event_channel *channel, int line)
{
	struct news n = { .what = -1 };

	if (readable(channel, 0.1))
		n = next_news(channel, 0);
	expect(n.what == -1, line, "%s with status %d, expected nothing", name_of(n.what), n.status);
}

/* A call succeeds. It is not made once something has gone wrong: what it needs may not be there. */
#define WELL(call) (failure[0] ? false : EXPECT((call) == 0, #call ": errno %d (%s)", errno, strerror(errno)))

/* A call fails with an errno. */
#define FAILS(call, number) \
	do { \
		int result_; \
		if (failure[0]) \
			break; \
		errno = 0; \
		result_ = (call); \
		EXPECT(result_ == -1 && errno == (number), #call " gives %d, errno %d; expected errno %d", result_, errno, (number)); \
	} while (0)

/* One side of a connection. */
struct conn {
	struct rdma_event_channel *channel;
	struct rdma_cm_id *listener, *id;
	struct ibv_mr *mr;
	uint8_t memory[768];	/* 256 to send, twice 256 to receive */
};

MAYBE_UNUSED static struct rdma_event_channel *open_channel(void)
{
	struct rdma_event_channel *channel = rdma_create_event_channel();

	if (!channel)
		die("rdma_create_event_channel");
	return channel;
}

MAYBE_UNUSED static void listen_at(struct conn *c, enum rdma_port_space space, const char *address, int port, int backlog)
{
	struct sockaddr_storage at = address_at(address, port);

	memset(c, 0, sizeof(*c));
	c->channel = open_channel();
	WELL(rdma_create_id(c->channel, &c->listener, NULL, space));
	WELL(rdma_bind_addr(c->listener, SOCKADDR(at)));
	WELL(rdma_listen(c->listener, backlog));
}

/* A client's identifier, up to its route. */
MAYBE_UNUSED static void resolve_to(struct conn *c, enum rdma_port_space space, const char *address, int port)
{
	struct sockaddr_storage at = address_at(address, port);

	memset(c, 0, sizeof(*c));
	c->channel = open_channel();
	WELL(rdma_create_id(c->channel, &c->id, NULL, space));
	WELL(rdma_resolve_addr(c->id, NULL, SOCKADDR(at), 2000));
	EXPECT_NEWS(c->channel, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
	WELL(rdma_resolve_route(c->id, 2000));
	EXPECT_NEWS(c->channel, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
}

/* A queue pair, memory, and a receive that waits. */
MAYBE_UNUSED static void equip(struct conn *c)
{
	struct ibv_qp_init_attr attr = { .qp_type = c->id->ps == RDMA_PS_UDP ? IBV_QPT_UD : IBV_QPT_RC, .sq_sig_all = 1,
		.cap = { .max_send_wr = 4, .max_recv_wr = 4, .max_send_sge = 1, .max_recv_sge = 1 } };

	if (failure[0])
		return;
	WELL(rdma_create_qp(c->id, NULL, &attr));
	if (failure[0])
		return;
	c->mr = rdma_reg_msgs(c->id, c->memory, sizeof(c->memory));
	EXPECT(c->mr, "rdma_reg_msgs: errno %d", errno);
	if (c->mr)
		WELL(rdma_post_recv(c->id, NULL, c->memory + 256, 256, c->mr));
}

MAYBE_UNUSED static struct news take_request(struct conn *c)
{
	struct news n = EXPECT_NEWS(c->channel, RDMA_CM_EVENT_CONNECT_REQUEST, 0);

	if (n.what == RDMA_CM_EVENT_CONNECT_REQUEST)
		c->id = n.id;
	return n;
}

static const struct rdma_conn_param usual_param = { .responder_resources = 4, .initiator_depth = 4, .retry_count = 5, .rnr_retry_count = 6 };

/* The server's side of a connection on a port, up to ESTABLISHED. */
MAYBE_UNUSED static void accept_one(struct conn *c)
{
	struct rdma_conn_param param = usual_param;

	take_request(c);
	if (!c->id)
		return;
	equip(c);
	WELL(rdma_accept(c->id, &param));
	EXPECT_NEWS(c->channel, RDMA_CM_EVENT_ESTABLISHED, 0);
}

MAYBE_UNUSED static void connect_one(struct conn *c)
{
	struct rdma_conn_param param = usual_param;

	equip(c);
	WELL(rdma_connect(c->id, &param));
	EXPECT_NEWS(c->channel, RDMA_CM_EVENT_ESTABLISHED, 0);
}

MAYBE_UNUSED static void say(struct conn *c)
{
	if (failure[0] || !c->mr)
		return;
	fill(c->memory, 200, client ? 3 : 4);
	WELL(rdma_post_send(c->id, NULL, c->memory, 200, c->mr, 0));
}

MAYBE_UNUSED static void hear(struct conn *c)
{
	uint32_t seed = client ? 3 : 4;

	if (failure[0] || !c->mr)
		return;
	EXPECT_WC(c->id->send_cq, 0, IBV_WC_SUCCESS);
	EXPECT_WC(c->id->recv_cq, 0, IBV_WC_SUCCESS);
	EXPECT(differs(c->memory + 256, 200, seed ^ 7) == 200, "byte %zu is wrong", differs(c->memory + 256, 200, seed ^ 7));
	WELL(rdma_post_recv(c->id, NULL, c->memory + 256, 256, c->mr));
}

/* A SEND each way, looked at byte by byte. Another receive waits afterwards. */
MAYBE_UNUSED static void talk(struct conn *c)
{
	say(c);
	hear(c);
}

/* Ends an identifier with what was made for it. */
MAYBE_UNUSED static void drop(struct conn *c)
{
	if (c->id && c->id->qp)
		rdma_destroy_qp(c->id);
	if (c->mr)
		EXPECT(rdma_dereg_mr(c->mr) == 0, "rdma_dereg_mr: errno %d", errno);
	if (c->id)
		EXPECT(rdma_destroy_id(c->id) == 0, "rdma_destroy_id: errno %d", errno);
	c->id = NULL;
	c->mr = NULL;
}

MAYBE_UNUSED static void close_conn(struct conn *c)
{
	drop(c);
	if (c->listener)
		EXPECT(rdma_destroy_id(c->listener) == 0, "rdma_destroy_id of a listener: errno %d", errno);
	if (c->channel)
		rdma_destroy_event_channel(c->channel);
	memset(c, 0, sizeof(*c));
}

/* The connection by which the two keep step. */
static struct conn control;

/* Waits for the other side; step is for messages. What the case has found out by now stays. */
MAYBE_UNUSED static void together(void)
{
	static uint32_t step;
	uint8_t *slot = control.memory + (step % 2 ? 512 : 256);	/* the other side may be a step ahead */
	struct ibv_wc wc;
	uint32_t got;

	step++;
	memcpy(control.memory, &step, sizeof(step));
	if (rdma_post_send(control.id, NULL, control.memory, 256, control.mr, 0) != 0)
		die("step %u: rdma_post_send", step);
	if (!next_wc(control.id->send_cq, &wc, 60) || wc.status != IBV_WC_SUCCESS)
		die("step %u: the other side does not hear: %s", step, ibv_wc_status_str(wc.status));
	if (!next_wc(control.id->recv_cq, &wc, 60) || wc.status != IBV_WC_SUCCESS)
		die("step %u: the other side does not answer: %s", step, ibv_wc_status_str(wc.status));
	memcpy(&got, slot, sizeof(got));
	if (got != step)
		die("step %u: the other side is at %u", step, got);
	if (rdma_post_recv(control.id, NULL, slot, 256, control.mr) != 0)
		die("rdma_post_recv");
}

/* Reads the environment and meets the other side. */
MAYBE_UNUSED static void begin(void)
{
	own = getenv("CM_OWN");
	own6 = getenv("CM_OWN6");
	peer = getenv("CM_PEER");
	peer6 = getenv("CM_PEER6");
	client = peer != NULL;
	if (!own)
		die("CM_OWN is not set");
	if (client) {
		resolve_to(&control, RDMA_PS_TCP, peer, CONTROL_PORT);
		connect_one(&control);
	} else {
		listen_at(&control, RDMA_PS_TCP, NULL, CONTROL_PORT, 0);
		accept_one(&control);
	}
	if (failure[0] || rdma_post_recv(control.id, NULL, control.memory + 512, 256, control.mr) != 0)
		die("no connection with the other side: %s", failure);
}

MAYBE_UNUSED static void end(void)
{
	together();
	pause_ms(500);	/* an acknowledgement may be lost, and who is gone does not acknowledge again */
	rdma_disconnect(control.id);
	close_conn(&control);
}

/* Runs a case that both sides go through, at the same time. */
#define TWO(function) \
	do { \
		if (argc < 2 || wanted(#function, argc, argv)) { \
			together(); \
			double start_ = now(); \
			function(); \
			together(); \
			report(#function); \
			if (now() - start_ > 3) \
				printf("%s took %.1f s\n", #function, now() - start_); \
		} \
	} while (0)

#endif
