/*
 * stranger.c: two queue pairs, an RC and a UD one, and somebody who knows all of
 * theirs: number, PSN, keys, addresses. They meet through files in a directory,
 * not through the network:
 *
 *	stranger suffer DIR NAME	has the memory, and looks whether it was touched
 *	stranger attack DIR NAME ok|refused|later	sends, writes and reads
 *
 * With ok the attacker is to be served, which shows that the attack would work;
 * with later, too, once there is a file NAME.go.
 * And two that only speak TCP:
 *
 *	stranger say NAME	tells everybody who comes its name
 *	stranger hear IP	says who answers there
 */
#include "check.h"

#define TOUCHED 4096	/* the first bytes are the attacker's to change */

static const struct plan rc_plan = { .timeout = 12, .retry_cnt = 3 };
static const struct plan ud_plan = { .type = IBV_QPT_UD };
static struct side rc, ud;
static struct { struct address rc, ud; } mine, theirs;
static const char *dir, *name;

static const char *file(const char *what)
{
	static char path[512];

	snprintf(path, sizeof(path), "%s/%s.%s", dir, name, what);
	return path;
}

static void put(const char *what)
{
	char part[600];
	int fd;

	snprintf(part, sizeof(part), "%s.part", file(what));
	fd = open(part, O_CREAT | O_WRONLY | O_TRUNC | O_CLOEXEC, 0666);
	if (fd < 0 || write(fd, &mine, sizeof(mine)) != sizeof(mine) || close(fd) != 0 || rename(part, file(what)) != 0)
		die("%s", part);
}

static void get(const char *what)
{
	double end = now() + 60;
	int fd;

	while ((fd = open(file(what), O_RDONLY | O_CLOEXEC)) < 0) {
		if (now() > end)
			die("%s does not come", file(what));
		pause_ms(5);
	}
	if (read(fd, &theirs, sizeof(theirs)) != sizeof(theirs))
		die("%s", file(what));
	close(fd);
}

static void make(const char *ours, const char *other)
{
	make_objects(&rc, &rc_plan);
	make_objects(&ud, &ud_plan);
	mine.rc = address_of(&rc);
	mine.ud = address_of(&ud);
	fill(rc.memory, rc.length, 5);
	fill(ud.memory, ud.length, 5);
	put(ours);
	get(other);
	connect_side(&rc, &rc_plan, &theirs.rc);
	connect_side(&ud, &ud_plan, &theirs.ud);
}

static void suffer(void)
{
	struct ibv_wc wc;
	int came = 0, datagrams = 0;
	size_t wrong;

	make("suffer", "attack");
	for (uint64_t i = 0; i < 8; i++) {
		post_recv(&rc, i, 0, 64);
		post_recv(&ud, i, 0, 200);
	}
	put("ready");
	printf("ready\n");
	fflush(stdout);
	get("done");
	for (; ibv_poll_cq(rc.recv_cq, 1, &wc) == 1; came++)
		EXPECT(wc.status == IBV_WC_SUCCESS, "receive: %s", ibv_wc_status_str(wc.status));
	while (ibv_poll_cq(ud.recv_cq, 1, &wc) == 1)
		datagrams++;
	wrong = differs(rc.memory, rc.length, 5);
	printf("received %d, datagrams %d, first changed byte %zu of %zu\n", came, datagrams, wrong, rc.length);
	wrong = 0;
	for (size_t i = TOUCHED; i < rc.length; i++)
		wrong += rc.memory[i] != pattern(i, 5);
	EXPECT(wrong == 0, "%zu bytes changed that are nobody's business", wrong);
	EXPECT_STATE(&rc, IBV_QPS_RTS);
	EXPECT_STATE(&ud, IBV_QPS_RTS);
	report("suffer");
}

static void again(void)
{
	struct ibv_qp_attr reset = { .qp_state = IBV_QPS_RESET };
	struct ibv_wc wc;

	while (ibv_poll_cq(rc.send_cq, 1, &wc) == 1)
		;
	if (ibv_modify_qp(rc.qp, &reset, IBV_QP_STATE) != 0)
		die("to RESET");
	connect_side(&rc, &rc_plan, &theirs.rc);
}

static void attack(enum ibv_wc_status expected, bool later)
{
	enum ibv_wr_opcode opcodes[] = { IBV_WR_SEND, IBV_WR_RDMA_WRITE, IBV_WR_RDMA_READ };
	struct ibv_ah_attr way;
	struct ibv_ah *ah;

	make("attack", "suffer");
	get("ready");
	if (later)
		get("go");
	for (int i = 0; i < 3; i++) {
		struct request r = request(&rc, (uint64_t)i, opcodes[i], 0, 64, i ? &theirs.rc : NULL);

		memset(rc.memory, 0xbd, 64);
		EXPECT(post(&rc, &r) == 0, "ibv_post_send");
		EXPECT_WC(rc.send_cq, (uint64_t)i, expected);
		if (expected != IBV_WC_SUCCESS)
			again();
	}
	way = route(&ud, &theirs.ud);
	ah = ibv_create_ah(ud.pd, &way);
	for (uint64_t i = 0; i < 4; i++) {
		struct request r = request(&ud, i, IBV_WR_SEND, 0, 64, NULL);

		r.wr.wr.ud.ah = ah;
		r.wr.wr.ud.remote_qpn = theirs.ud.qpn;
		r.wr.wr.ud.remote_qkey = QKEY;
		EXPECT(post(&ud, &r) == 0, "ibv_post_send");
		EXPECT_WC(ud.send_cq, i, IBV_WC_SUCCESS);
	}
	pause_ms(200);	/* the datagrams arrive, if they do */
	put("done");
	report("attack");
}

static void say(void)
{
	for (;;) {
		int s = meet(NULL);

		send(s, name, strlen(name), MSG_NOSIGNAL);
		close(s);
	}
}

static void hear(const char *ip)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(MEETING_PORT) };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct timeval limit = { 1, 0 };
	char text[64] = "";

	inet_pton(AF_INET, ip, &at.sin_addr);
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (connect(s, (struct sockaddr *)&at, sizeof(at)) != 0 || recv(s, text, sizeof(text) - 1, MSG_WAITALL) <= 0)
		printf("heard nobody\n");
	else
		printf("heard %s\n", text);
}

int main(int argc, char **argv)
{
	const char *what = argc > 2 ? argv[1] : "";

	if (strcmp(what, "hear") == 0) {
		hear(argv[2]);
		return 0;
	}
	name = argv[argc - 1];
	if (strcmp(what, "say") == 0)
		say();
	dir = argv[2];
	if (argc > 3)
		name = argv[3];
	if (strcmp(what, "suffer") == 0)
		suffer();
	else if (strcmp(what, "attack") == 0 && argc > 4)
		attack(strcmp(argv[4], "refused") ? IBV_WC_SUCCESS : IBV_WC_RETRY_EXC_ERR, strcmp(argv[4], "later") == 0);
	else
		die("usage");
	return failures != 0;
}
