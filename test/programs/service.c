/*
 * service.c: a server that may come back elsewhere, and a client that looks for
 * it again.
 *
 *	service serve NAME	answers each message over RC with its name
 *	service ask IP NAME	until the server is NAME; says whom it reached
 *
 * The client meets the server over TCP, then talks RC, and begins anew whenever
 * either breaks.
 */
#include "check.h"

#define NAME 32

static struct side me;
static struct address you;
static const struct plan plan = { .length = 4096 };

static bool swap(int s, const void *ours, void *theirs, size_t length)
{
	return send(s, ours, length, MSG_NOSIGNAL) == (ssize_t)length && recv(s, theirs, length, MSG_WAITALL) == (ssize_t)length;
}

/* Objects and a connection over the meeting s. */
static bool join(int s)
{
	struct address mine;
	char ready = 'x';

	make_objects(&me, &plan);
	mine = address_of(&me);
	if (!swap(s, &mine, &you, sizeof(mine)))
		return false;
	connect_side(&me, &plan, &you);
	post_recv(&me, 0, 2048, NAME);
	return swap(s, &ready, &ready, 1);
}

static void serve(const char *name)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(MEETING_PORT) };
	int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;

	setsockopt(l, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
	if (bind(l, (struct sockaddr *)&at, sizeof(at)) != 0 || listen(l, 8) != 0)
		die("listen");
	for (;;) {
		struct pollfd polled = { accept(l, NULL, NULL), POLLIN, 0 };
		struct ibv_wc wc;

		if (!join(polled.fd))
			goto leave;
		snprintf((char *)me.memory, NAME, "%s", name);
		while (poll(&polled, 1, 0) == 0) {	/* the client says no more there but that it goes */
			if (ibv_poll_cq(me.recv_cq, 1, &wc) == 1) {
				if (wc.status != IBV_WC_SUCCESS)
					break;
				post_recv(&me, 0, 2048, NAME);
				post_simple(&me, 0, IBV_WR_SEND, 0, NAME, NULL);
			}
			ibv_poll_cq(me.send_cq, 1, &wc);
			sched_yield();
		}
leave:
		destroy_side(&me);
		close(polled.fd);
	}
}

/* A TCP connection within a quarter of a second; -1 if there is none. */
static int reach(const char *ip)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_port = htons(MEETING_PORT) };
	struct timeval limit = { 0, 250000 }, longer = { 1, 0 };
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	inet_pton(AF_INET, ip, &at.sin_addr);
	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit));
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &longer, sizeof(longer));
	if (connect(s, (struct sockaddr *)&at, sizeof(at)) == 0)
		return s;
	close(s);
	return -1;
}

/* Asks once. False if it gets no answer: a message that was delivered may not be answered any more, which no error tells. */
static bool ask_once(char *answer)
{
	struct ibv_wc wc;

	post_simple(&me, 0, IBV_WR_SEND, 0, NAME, NULL);
	if (!next_wc(me.recv_cq, &wc, 0.5) || wc.status != IBV_WC_SUCCESS)
		return false;
	memcpy(answer, me.memory + 2048, NAME);
	post_recv(&me, 0, 2048, NAME);
	return next_wc(me.send_cq, &wc, 2) && wc.status == IBV_WC_SUCCESS;
}

static bool ask(const char *ip, const char *last)
{
	char answer[NAME] = "", said[NAME] = "";
	double start = now(), end = start + 60;

	while (now() < end) {
		int s = reach(ip);

		if (s < 0) {
			printf("%.2f s: nobody there: %s\n", now() - start, strerror(errno));
			pause_ms(10);
			continue;
		}
		printf("%.2f s: met\n", now() - start);
		for (bool well = join(s); well && ask_once(answer); pause_ms(2))
			if (strcmp(answer, said) != 0) {
				strcpy(said, answer);
				printf("%.2f s: reached %s\n", now() - start, said);
				fflush(stdout);
				if (strcmp(said, last) == 0)
					return true;
			}
		printf("%.2f s: lost it\n", now() - start);
		fflush(stdout);
		destroy_side(&me);
		close(s);
	}
	return false;
}

int main(int argc, char **argv)
{
	if (argc == 3 && strcmp(argv[1], "serve") == 0)
		serve(argv[2]);
	if (argc != 4)
		die("usage: service serve NAME | ask IP NAME");
	EXPECT(ask(argv[2], argv[3]), "never reached");
	report("ask");
	return failures != 0;
}
