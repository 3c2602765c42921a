/*
 * cmlocal.c: what RDMA-CM says to a program that is alone: ports, addresses,
 * calls in the wrong state, and connections with itself.
 * Expected is what a Linux kernel says (6.1, rdma_rxe).
 */
#include "cm.h"

#include <sys/wait.h>

static struct rdma_event_channel *channel;

static struct rdma_cm_id *new_id(enum rdma_port_space space)
{
	struct rdma_cm_id *id = NULL;

	WELL(rdma_create_id(channel, &id, NULL, space));
	return id;
}

static int bind_id(struct rdma_cm_id *id, const char *address, int port)
{
	struct sockaddr_storage at = address_at(address, port);

	return rdma_bind_addr(id, SOCKADDR(at));
}

static void ports(void)
{
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP), *b = new_id(RDMA_PS_TCP), *u = new_id(RDMA_PS_UDP);
	int first, second;

	WELL(bind_id(a, NULL, 0));
	WELL(bind_id(b, NULL, 0));
	first = ntohs(rdma_get_src_port(a));
	second = ntohs(rdma_get_src_port(b));
	EXPECT(first >= 32768 && first <= 60999 && second >= 32768 && second <= 60999 && first != second, "ports %d and %d", first, second);
	WELL(bind_id(u, NULL, first));
	EXPECT(ntohs(rdma_get_src_port(u)) == first, "port %u, expected %d", ntohs(rdma_get_src_port(u)), first);
	WELL(rdma_destroy_id(b));
	b = new_id(RDMA_PS_TCP);
	FAILS(bind_id(b, NULL, first), EADDRNOTAVAIL);	/* so kernels say it where one of the two is any address */
	WELL(bind_id(b, NULL, second));
	WELL(rdma_destroy_id(a));
	WELL(rdma_destroy_id(b));
	WELL(rdma_destroy_id(u));
}

/* Every address and one of them, in both orders. */
static void wildcards(void)
{
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP), *b = new_id(RDMA_PS_TCP);

	WELL(bind_id(a, NULL, 7500));
	FAILS(bind_id(b, own, 7500), EADDRNOTAVAIL);
	WELL(rdma_destroy_id(a));
	WELL(rdma_destroy_id(b));
	a = new_id(RDMA_PS_TCP);
	b = new_id(RDMA_PS_TCP);
	WELL(bind_id(a, own, 7500));
	FAILS(bind_id(b, NULL, 7500), EADDRNOTAVAIL);
	FAILS(bind_id(b, own, 7500), EADDRINUSE);
	WELL(bind_id(b, own, 7501));
	WELL(rdma_destroy_id(a));
	WELL(rdma_destroy_id(b));
}

static void reuse(void)
{
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP), *b = new_id(RDMA_PS_TCP), *c = new_id(RDMA_PS_TCP);
	int yes = 1;

	WELL(rdma_set_option(a, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &yes, sizeof(yes)));
	WELL(rdma_set_option(b, RDMA_OPTION_ID, RDMA_OPTION_ID_REUSEADDR, &yes, sizeof(yes)));
	WELL(bind_id(a, own, 7502));
	WELL(bind_id(b, own, 7502));
	FAILS(bind_id(c, own, 7502), EADDRINUSE);
	FAILS(rdma_listen(a, 0), EADDRINUSE);	/* who listens has the port alone */
	WELL(rdma_destroy_id(a));
	WELL(rdma_listen(b, 0));
	WELL(rdma_destroy_id(b));
	WELL(rdma_destroy_id(c));
}

/* A program that listens keeps others from its port. */
static void two_listeners(void)
{
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP), *b = new_id(RDMA_PS_TCP);

	WELL(bind_id(a, own, 7503));
	WELL(rdma_listen(a, 0));
	FAILS(bind_id(b, own, 7503), EADDRINUSE);
	WELL(rdma_destroy_id(a));
	WELL(bind_id(b, own, 7503));
	WELL(rdma_listen(b, 0));
	WELL(rdma_destroy_id(b));
}

/* Addresses of others. */
static void foreign(void)
{
	const char *theirs = getenv("CM_FOREIGN");	/* somebody else's, if there is one */
	struct sockaddr_storage at = address_at(own, 0), to = address_at("203.0.113.9", 1);
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP);
	struct rdma_cm_id *b;

	FAILS(bind_id(a, "203.0.113.9", 7504), EADDRNOTAVAIL);
	if (theirs) {
		at = address_at(theirs, 0);
		FAILS(bind_id(a, theirs, 7504), EADDRNOTAVAIL);
		b = new_id(RDMA_PS_TCP);
		to = address_at(own, 7504);
		FAILS(rdma_resolve_addr(b, SOCKADDR(at), SOCKADDR(to), 500), EADDRNOTAVAIL);
		WELL(rdma_destroy_id(b));
	}
	WELL(bind_id(a, own, 7504));
	EXPECT(a->verbs && a->port_num == 1, "an identifier with an address is of no device");
	WELL(rdma_destroy_id(a));
}

/* Nobody has the address: that is known when the time is over. */
static void nobody(void)
{
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP);
	struct sockaddr_storage to = address_at(own, 1);
	struct news n;
	double start = now();

	((uint8_t *)&((struct sockaddr_in *)&to)->sin_addr)[3] = 213;
	WELL(rdma_resolve_addr(a, NULL, SOCKADDR(to), 500));
	n = EXPECT_NEWS(channel, RDMA_CM_EVENT_ADDR_ERROR, -ETIMEDOUT);
	EXPECT(n.id == a && now() - start > 0.4, "after %.1f s", now() - start);
	WELL(rdma_destroy_id(a));
}

/* Calls that come too early or too late. */
static void wrong_states(void)
{
	struct rdma_conn_param param = usual_param;
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP);
	struct sockaddr_storage to = address_at(own, 7505);

	param.qp_num = 17;
	FAILS(rdma_leave_multicast(a, SOCKADDR(to)), EADDRNOTAVAIL);
	WELL(bind_id(a, own, 7505));
	FAILS(rdma_accept(a, &param), EINVAL);
	FAILS(rdma_reject(a, NULL, 0), EINVAL);
	FAILS(rdma_disconnect(a), EINVAL);
	FAILS(bind_id(a, own, 7506), EINVAL);
	FAILS(rdma_resolve_route(a, 500), EINVAL);
	WELL(rdma_listen(a, 0));
	FAILS(rdma_listen(a, 0), EINVAL);
	FAILS(rdma_resolve_addr(a, NULL, SOCKADDR(to), 500), EINVAL);
	FAILS(bind_id(a, own, 7506), EINVAL);
	WELL(rdma_destroy_id(a));
	EXPECT_NO_NEWS(channel);
}

/* A connection with oneself, by an address. */
static void with_self(const char *address, int port)
{
	struct conn a, b;
	struct rdma_conn_param param = usual_param;

	listen_at(&a, RDMA_PS_TCP, NULL, port, 0);
	resolve_to(&b, RDMA_PS_TCP, address, port);
	equip(&b);
	WELL(rdma_connect(b.id, &param));
	take_request(&a);
	if (a.id) {
		equip(&a);
		WELL(rdma_accept(a.id, &param));
		EXPECT_NEWS(b.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
		EXPECT_NEWS(a.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
	}
	if (!failure[0]) {
		fill(b.memory, 200, 3);
		WELL(rdma_post_send(b.id, NULL, b.memory, 200, b.mr, 0));
		EXPECT_WC(a.id->recv_cq, 0, IBV_WC_SUCCESS);
		EXPECT(differs(a.memory + 256, 200, 3) == 200, "the message is wrong");
		WELL(rdma_disconnect(a.id));
		EXPECT_NEWS(b.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
	}
	close_conn(&b);
	close_conn(&a);
}

static void self_by_address(void) { with_self(own, 7507); }

static void self_by_loopback(void) { with_self("127.0.0.1", 7508); }

/* As many as a server of a thousand clients has, and channels too. */
static void thousand(void)
{
	enum { MANY = 1000 };
	static struct rdma_cm_id *id[MANY];
	static struct rdma_event_channel *channels[MANY];

	for (int i = 0; i < MANY; i++) {
		id[i] = new_id(RDMA_PS_TCP);
		WELL(bind_id(id[i], own, 0));
	}
	for (int i = 0; i < MANY; i++)
		WELL(rdma_destroy_id(id[i]));
	for (int i = 0; i < MANY / 2; i++)
		channels[i] = open_channel();
	for (int i = 0; i < MANY / 2; i++)
		rdma_destroy_event_channel(channels[i]);
}

/* A child has channels and identifiers of its own, and the parent's go on. */
static void forked(void)
{
	struct rdma_cm_id *a = new_id(RDMA_PS_TCP);
	int status = -1;
	pid_t pid;

	WELL(bind_id(a, own, 7509));
	pid = fork();
	if (pid == 0) {
		failure[0] = 0;
		with_self(own, 7510);
		if (failure[0])
			fprintf(stderr, "child: %s\n", failure);
		_exit(failure[0] ? 1 : 0);
	}
	EXPECT(waitpid(pid, &status, 0) == pid && status == 0, "the child ended with %#x", status);
	WELL(rdma_listen(a, 0));
	WELL(rdma_destroy_id(a));
	with_self(own, 7511);
}

static void devices(void)
{
	struct ibv_context **list;
	int n = 0;

	list = rdma_get_devices(&n);
	EXPECT(list && n == 1, "%d devices", n);
	rdma_free_devices(list);
}

int main(int argc, char **argv)
{
	own = getenv("CM_OWN");
	if (!own)
		die("CM_OWN is not set");
	channel = open_channel();
	CASE(ports);
	CASE(wildcards);
	CASE(reuse);
	CASE(two_listeners);
	CASE(foreign);
	CASE(nobody);
	CASE(wrong_states);
	CASE(self_by_address);
	CASE(self_by_loopback);
	CASE(thousand);
	CASE(forked);
	CASE(devices);
	rdma_destroy_event_channel(channel);
	return failures > 0;
}
