/*
 * cmend.c: how connections of RDMA-CM end, and what becomes of identifiers
 * and channels on the way, between two programs. Expected is what two Linux
 * kernels say (6.1, rdma_rxe).
 */
#include "cm.h"

#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>

/* Connects the two on a port. */
static void join(struct conn *c, int port)
{
	if (client) {
		together();
		resolve_to(c, RDMA_PS_TCP, peer, port);
		connect_one(c);
	} else {
		listen_at(c, RDMA_PS_TCP, NULL, port, 0);
		together();
		accept_one(c);
	}
	talk(c);
	together();
}

static void expect_error(struct conn *c)
{
	struct ibv_qp_init_attr init;
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_UNKNOWN };

	if (!c->id || !c->id->qp)
		return;
	WELL(ibv_query_qp(c->id->qp, &attr, IBV_QP_STATE, &init));
	EXPECT(attr.qp_state == IBV_QPS_ERR, "the queue pair is in state %d", attr.qp_state);
}

/* One side disconnects: both are told, work that waits is flushed, and later the time of waiting is over. */
static void disconnect(int port, bool by_client)
{
	struct conn c;

	join(&c, port);
	if (client == by_client)
		WELL(rdma_disconnect(c.id));
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
	if (client != by_client)
		WELL(rdma_disconnect(c.id));
	if (!failure[0]) {
		EXPECT_WC(c.id->recv_cq, 0, IBV_WC_WR_FLUSH_ERR);
		expect_error(&c);
		WELL(rdma_disconnect(c.id));
	}
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_TIMEWAIT_EXIT, 0);
	EXPECT_NO_NEWS(c.channel);
	together();
	close_conn(&c);
}

static void client_disconnects(void) { disconnect(8100, true); }

static void server_disconnects(void) { disconnect(8101, false); }

/* Both at once. */
static void both_disconnect(void)
{
	struct conn c;

	join(&c, 8102);
	WELL(rdma_disconnect(c.id));
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
	together();
	close_conn(&c);
}

/* An identifier that is destroyed disconnects. */
static void destroyed(void)
{
	struct conn c;

	join(&c, 8103);
	if (client) {
		close_conn(&c);
		together();
		return;
	}
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
	together();
	close_conn(&c);
}

/* So does one whose channel is closed, as at a program's end. */
static void channel_closed(void)
{
	struct conn c;

	join(&c, 8104);
	if (!client) {
		close(c.channel->fd);
		together();
		return;	/* what is left of it goes with the program */
	}
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
	together();
	close_conn(&c);
}

/* Runs this program anew as somebody who can be killed. */
static pid_t start_victim(const char *role, const char *port)
{
	pid_t pid = fork();

	if (pid == 0) {
		setenv("CM_VICTIM", role, 1);
		execl("/proc/self/exe", "victim", port, NULL);
		_exit(127);
	}
	return pid;
}

/* The victim's side: a connection, and then nothing. */
static int victim(const char *role, const char *port)
{
	struct conn c;

	own = getenv("CM_OWN");
	peer = getenv("CM_PEER");
	if (strcmp(role, "listens") == 0) {
		listen_at(&c, RDMA_PS_TCP, NULL, atoi(port), 0);
	} else if (strcmp(role, "asks") == 0) {
		struct rdma_conn_param param = usual_param;

		resolve_to(&c, RDMA_PS_TCP, peer, atoi(port));
		equip(&c);
		WELL(rdma_connect(c.id, &param));
	} else if (peer) {
		client = true;
		resolve_to(&c, RDMA_PS_TCP, peer, atoi(port));
		connect_one(&c);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, atoi(port), 0);
		accept_one(&c);
	}
	if (failure[0])
		fprintf(stderr, "victim: %s\n", failure);
	pause();
	return 0;
}

static void kill_victim(pid_t pid)
{
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

/* A client that is killed. */
static void client_killed(void)
{
	struct conn c;
	pid_t pid;

	if (client) {
		together();
		pid = start_victim("connects", "8105");
		together();
		kill_victim(pid);
		together();
		return;
	}
	listen_at(&c, RDMA_PS_TCP, NULL, 8105, 0);
	together();
	accept_one(&c);
	together();
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
	if (!failure[0]) {
		WELL(rdma_disconnect(c.id));
		EXPECT_WC(c.id->recv_cq, 0, IBV_WC_WR_FLUSH_ERR);
	}
	together();
	close_conn(&c);
}

/* A server that is killed: its port can be had again at once. */
static void server_killed(void)
{
	struct conn c;
	pid_t pid;

	if (client) {
		together();
		pause_ms(1500);
		resolve_to(&c, RDMA_PS_TCP, peer, 8106);
		connect_one(&c);
		together();
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
		together();
		close_conn(&c);
		resolve_to(&c, RDMA_PS_TCP, peer, 8106);
		connect_one(&c);
	} else {
		pid = start_victim("accepts", "8106");
		together();
		together();
		kill_victim(pid);
		listen_at(&c, RDMA_PS_TCP, NULL, 8106, 0);
		together();
		accept_one(&c);
	}
	talk(&c);
	together();
	close_conn(&c);
}

/* A server that is killed while a request waits with it, and a client whose request waits. */
static void killed_while_asking(void)
{
	struct rdma_conn_param param = usual_param;
	struct conn c;
	struct news n;
	pid_t pid;

	if (client) {
		together();
		pause_ms(1500);
		resolve_to(&c, RDMA_PS_TCP, peer, 8107);
		equip(&c);
		WELL(rdma_connect(c.id, &param));
		pause_ms(200);
		together();
		EXPECT_NEWS(c.channel, RDMA_CM_EVENT_REJECTED, 28);
		close_conn(&c);
		together();
		pid = start_victim("asks", "8108");
		together();
		kill_victim(pid);
		together();
		return;
	}
	pid = start_victim("listens", "8107");
	together();
	together();
	kill_victim(pid);
	listen_at(&c, RDMA_PS_TCP, NULL, 8108, 0);
	together();
	n = take_request(&c);
	together();
	together();
	for (int i = 0; n.id && i < 2; i++) {
		n = next_news(c.channel, 3);
		fprintf(stderr, "a dead client: %s with %d\n", name_of(n.what), n.status);
	}
	close_conn(&c);
}

/* A listener that is destroyed with requests that nobody has looked at. */
static void listener_destroyed(void)
{
	struct rdma_conn_param param = usual_param;
	struct conn c[3] = { 0 }, l;

	if (client) {
		together();
		for (int i = 0; i < 3; i++) {
			resolve_to(&c[i], RDMA_PS_TCP, peer, 8109);
			equip(&c[i]);
			WELL(rdma_connect(c[i].id, &param));
		}
		pause_ms(200);
		together();
		for (int i = 0; i < 3; i++) {
			EXPECT_NEWS(c[i].channel, RDMA_CM_EVENT_REJECTED, 28);
			close_conn(&c[i]);
		}
		together();
		return;
	}
	listen_at(&l, RDMA_PS_TCP, NULL, 8109, 0);
	together();
	together();
	EXPECT(readable(l.channel, 5), "no request came");
	WELL(rdma_destroy_id(l.listener));
	l.listener = NULL;
	EXPECT_NO_NEWS(l.channel);
	together();
	close_conn(&l);
}

/* More requests than the backlog has room for are not answered, and come again. */
static void backlog(void)
{
	enum { MANY = 6, ROOM = 2 };
	struct rdma_conn_param param = usual_param;
	struct conn c[MANY] = { 0 }, l;

	if (client) {
		together();
		for (int i = 0; i < MANY; i++) {
			resolve_to(&c[i], RDMA_PS_TCP, peer, 8110);
			equip(&c[i]);
			WELL(rdma_connect(c[i].id, &param));
		}
		pause_ms(300);
		for (int i = 0; i < MANY; i++)
			EXPECT_NO_NEWS(c[i].channel);
		together();
		for (int i = 0; i < MANY; i++) {
			EXPECT_NEWS(c[i].channel, RDMA_CM_EVENT_REJECTED, 28);
			close_conn(&c[i]);
		}
		together();
		return;
	}
	listen_at(&l, RDMA_PS_TCP, NULL, 8110, ROOM);
	together();
	together();
	for (int i = 0; i < MANY; i++) {
		take_request(&l);
		drop(&l);
	}
	EXPECT_NO_NEWS(l.channel);
	together();
	close_conn(&l);
}

/*
 * Events that wait go with their identifier to another channel, as the later ones. (But for a listener's requests, which kernels leave
 * where nobody can take them.)
 */
static void migrated(void)
{
	struct rdma_event_channel *other = open_channel();
	struct conn c = { 0 };
	struct news n;

	if (client) {
		struct sockaddr_storage at = address_at(peer, 8111);

		together();
		c.channel = open_channel();
		WELL(rdma_create_id(c.channel, &c.id, NULL, RDMA_PS_TCP));
		WELL(rdma_resolve_addr(c.id, NULL, SOCKADDR(at), 2000));
		EXPECT(readable(c.channel, 5), "the address is not resolved");
		WELL(rdma_migrate_id(c.id, other));
		EXPECT_NO_NEWS(c.channel);
		EXPECT_NEWS(other, RDMA_CM_EVENT_ADDR_RESOLVED, 0);
		EXPECT(c.id->channel == other, "the identifier is on its old channel");
		WELL(rdma_resolve_route(c.id, 2000));
		EXPECT_NEWS(other, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
		WELL(rdma_migrate_id(c.id, c.channel));
		connect_one(&c);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8111, 0);
		WELL(rdma_migrate_id(c.listener, other));
		together();
		n = EXPECT_NEWS(other, RDMA_CM_EVENT_CONNECT_REQUEST, 0);
		if (n.what == RDMA_CM_EVENT_CONNECT_REQUEST) {
			c.id = n.id;
			WELL(rdma_migrate_id(c.id, c.channel));
			equip(&c);
			WELL(rdma_accept(c.id, NULL));
			EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ESTABLISHED, 0);
		}
	}
	talk(&c);
	together();
	close_conn(&c);
	rdma_destroy_event_channel(other);
}

/* Listeners by the hundred on one channel; connections to some. */
static void listeners(void)
{
	enum { MANY = 256, FIRST = 9000 };
	static struct rdma_cm_id *listener[MANY];
	struct sockaddr_storage at;
	struct conn c = { 0 };

	if (!client) {
		c.channel = open_channel();
		for (int i = 0; i < MANY; i++) {
			at = address_at(NULL, FIRST + i);
			WELL(rdma_create_id(c.channel, &listener[i], NULL, RDMA_PS_TCP));
			WELL(rdma_bind_addr(listener[i], SOCKADDR(at)));
			WELL(rdma_listen(listener[i], 1));
		}
	}
	together();
	for (int i = 0; i < MANY; i += 37) {
		if (client) {
			resolve_to(&c, RDMA_PS_TCP, peer, FIRST + i);
			connect_one(&c);
		} else {
			accept_one(&c);
			EXPECT(!c.id || ntohs(rdma_get_src_port(c.id)) == FIRST + i, "a connection of port %d on %d", ntohs(rdma_get_src_port(c.id)), FIRST + i);
		}
		talk(&c);
		together();
		if (client) {
			close_conn(&c);
		} else {
			EXPECT_NEWS(c.channel, RDMA_CM_EVENT_DISCONNECTED, 0);
			drop(&c);
		}
	}
	for (int i = 0; i < MANY && !client; i++)
		WELL(rdma_destroy_id(listener[i]));
	close_conn(&c);
}

/* A channel that does not block. */
static void nonblocking(void)
{
	struct rdma_cm_event *event;
	struct conn c;

	if (client) {
		together();
		pause_ms(300);
		resolve_to(&c, RDMA_PS_TCP, peer, 8112);
		connect_one(&c);
	} else {
		listen_at(&c, RDMA_PS_TCP, NULL, 8112, 0);
		WELL(fcntl(c.channel->fd, F_SETFL, fcntl(c.channel->fd, F_GETFL) | O_NONBLOCK));
		FAILS(rdma_get_cm_event(c.channel, &event), EAGAIN);
		together();
		accept_one(&c);
		FAILS(rdma_get_cm_event(c.channel, &event), EAGAIN);
	}
	talk(&c);
	together();
	close_conn(&c);
}

/* A thread that waits for events while others act. */
static struct {
	struct rdma_event_channel *channel;
	struct news got;
} waiter;

static void *wait_for_event(void *unused)
{
	struct rdma_cm_event *event;

	(void)unused;
	if (rdma_get_cm_event(waiter.channel, &event) == 0) {
		waiter.got = news_of(event, false);
		rdma_ack_cm_event(event);
	} else {
		waiter.got = (struct news){ .what = -1, .status = errno };
	}
	return NULL;
}

/* A thread waits; the main thread destroys identifiers, connects others, and at last cancels the thread. */
static void waiting_thread(void)
{
	struct rdma_cm_id *gone;
	struct sockaddr_storage at = address_at(peer ? peer : own, 8113);
	struct conn c = { 0 };
	pthread_t thread;
	void *result;

	c.channel = waiter.channel = open_channel();
	waiter.got = (struct news){ .what = -2 };
	if (pthread_create(&thread, NULL, wait_for_event, NULL) != 0)
		die("pthread_create");
	pause_ms(50);
	WELL(rdma_create_id(c.channel, &gone, NULL, RDMA_PS_TCP));
	WELL(rdma_destroy_id(gone));
	WELL(rdma_create_id(c.channel, &c.id, NULL, RDMA_PS_TCP));
	EXPECT(waiter.got.what == -2, "the thread was told %s", name_of(waiter.got.what));
	WELL(rdma_resolve_addr(c.id, NULL, SOCKADDR(at), 2000));
	pthread_join(thread, NULL);
	EXPECT(waiter.got.what == RDMA_CM_EVENT_ADDR_RESOLVED && waiter.got.id == c.id, "the thread was told %s, %d", name_of(waiter.got.what),
	       waiter.got.status);
	if (pthread_create(&thread, NULL, wait_for_event, NULL) != 0)
		die("pthread_create");
	pause_ms(50);
	pthread_cancel(thread);
	pthread_join(thread, &result);
	EXPECT(result == PTHREAD_CANCELED, "the thread was not cancelled");
	WELL(rdma_resolve_route(c.id, 2000));
	EXPECT_NEWS(c.channel, RDMA_CM_EVENT_ROUTE_RESOLVED, 0);
	close_conn(&c);
}

/* Who is connected needs no word that data came. */
static void notified(void)
{
	struct conn c;

	join(&c, 8114);
	if (c.id) {
		FAILS(rdma_notify(c.id, IBV_EVENT_COMM_EST), EISCONN);
		WELL(rdma_notify(c.id, IBV_EVENT_PATH_MIG));
	}
	EXPECT_NO_NEWS(c.channel);
	talk(&c);
	together();
	close_conn(&c);
}

int main(int argc, char **argv)
{
	if (getenv("CM_VICTIM"))
		return victim(getenv("CM_VICTIM"), argv[1]);
	begin();
	TWO(client_disconnects);
	TWO(server_disconnects);
	TWO(both_disconnect);
	TWO(destroyed);
	TWO(channel_closed);
	TWO(client_killed);
	TWO(server_killed);
	TWO(killed_while_asking);
	TWO(listener_destroyed);
	TWO(backlog);
	TWO(migrated);
	TWO(listeners);
	TWO(nonblocking);
	TWO(waiting_thread);
	TWO(notified);
	end();
	return failures > 0;
}
