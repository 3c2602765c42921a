/*
 * traffic.c: two programs send each other checked messages until the time is
 * over or something breaks.
 *
 *	traffic [-e] [-o] [-w] [-q QPS] [-s SIZE] [-d SECONDS] [SERVER]
 *
 *	-e  sleep on completion events	-o  only the client sends
 *	-w  RDMA WRITEs, which only the client sends and nobody checks
 *
 * It says "running" once messages flow. At the end it says what it moved. When
 * something breaks it waits for the completion of all that was posted, says the
 * statuses, and exits with 3, or with 4 if some completion never came.
 */
#include "check.h"
#include <getopt.h>

#define WINDOW 16
#define QPS_MAX 64

struct header { uint64_t number, length; };

static struct side sides[QPS_MAX];
static struct address others[QPS_MAX];
static struct {
	uint64_t sent, done, posted, received;
} at[QPS_MAX];
static uint64_t statuses[32], messages, wrong;
static bool broken;

static bool events, one_way, writes;
static int qps = 1, seconds = 3600;
static uint32_t size = 4096;

/* Slot of a message: sends in the first half, receives in the second. */
static size_t slot(uint64_t number, bool receive)
{
	return ((receive ? WINDOW : 0) + number % WINDOW) * size;
}

static void start_send(int i)
{
	uint64_t number = at[i].sent++;
	struct side *side = &sides[i];
	struct request r;
	int error;

	if (!writes) {
		struct header h = { number, size };

		fill(side->memory + slot(number, false), size, (uint32_t)(number + (uint64_t)i));
		memcpy(side->memory + slot(number, false), &h, sizeof(h));
	}
	r = request(side, number, writes ? IBV_WR_RDMA_WRITE : IBV_WR_SEND, slot(number, false), size, &others[i]);
	error = post(side, &r);
	if (error == EIO)	/* the doorbell fails without a router; the request is posted, and ends as all others do */
		broken = true;
	else
		EXPECT(error == 0, "ibv_post_send of %llu: errno %d", (unsigned long long)number, error);
}

static void start_receive(int i)
{
	uint64_t number = at[i].posted++;

	if (post_recv(&sides[i], number, slot(number, true), size) != 0)
		EXPECT(false, "ibv_post_recv: errno %d", errno);
}

/* The message at the head of the queue is the next one, whole. */
static void check_message(int i, const struct ibv_wc *wc)
{
	uint64_t number = at[i].received;
	uint8_t *bytes = sides[i].memory + slot(number, true);
	struct header h;

	memcpy(&h, bytes, sizeof(h));
	if (wc->wr_id != number || wc->byte_len != size || h.number != number || h.length != size) {
		EXPECT(false, "message %llu of queue pair %d: wr_id %llu, %u bytes, says it is %llu", (unsigned long long)number, i,
		       (unsigned long long)wc->wr_id, wc->byte_len, (unsigned long long)h.number);
		wrong++;
	}
	for (size_t k = sizeof(h); k < size; k++)
		if (bytes[k] != pattern(k, (uint32_t)(number + (uint64_t)i))) {
			EXPECT(false, "message %llu of queue pair %d: wrong byte at %zu of %u", (unsigned long long)number, i, k, size);
			wrong++;
			break;
		}
}

static bool reap(int i)
{
	struct ibv_wc wc;
	bool any = false;

	while (ibv_poll_cq(sides[i].send_cq, 1, &wc) == 1) {
		any = true;
		statuses[wc.status]++;
		at[i].done++;
		broken |= wc.status != IBV_WC_SUCCESS;
		messages += writes;
	}
	while (ibv_poll_cq(sides[i].recv_cq, 1, &wc) == 1) {
		any = true;
		statuses[wc.status]++;
		broken |= wc.status != IBV_WC_SUCCESS;
		if (wc.status == IBV_WC_SUCCESS) {
			check_message(i, &wc);
			messages++;
		}
		at[i].received++;
		if (!broken)
			start_receive(i);
	}
	return any;
}

/* Sleeps until something completes on any queue pair; the first armed CQs may have something already. */
static void sleep_for_events(int meeting)
{
	struct pollfd polled[QPS_MAX + 1];
	int n = 0;

	for (int i = 0; i < qps; i++) {
		ibv_req_notify_cq(sides[i].send_cq, 0);
		ibv_req_notify_cq(sides[i].recv_cq, 0);
		polled[n++] = (struct pollfd){ sides[i].channel->fd, POLLIN, 0 };
	}
	for (int i = 0; i < qps; i++)
		if (reap(i))
			return;
	if (meeting >= 0)
		polled[n++] = (struct pollfd){ meeting, POLLIN, 0 };
	poll(polled, (nfds_t)n, 1000);
	for (int i = 0; i < qps; i++) {
		struct ibv_cq *cq;
		void *context;

		if (polled[i].revents && ibv_get_cq_event(sides[i].channel, &cq, &context) == 0)
			ibv_ack_cq_events(cq, 1);
	}
}

static bool outstanding(bool receives)
{
	for (int i = 0; i < qps; i++)
		if (at[i].done < at[i].sent || (receives && at[i].received < at[i].posted))
			return true;
	return false;
}

/* All that was posted completes, one way or the other. */
static int drain(void)
{
	double end = now() + 8;

	for (int i = 0; i < qps; i++) {
		struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };

		/* Those whose peer still answers are ended by us; the router may be gone. */
		if (qps > 1)
			ibv_modify_qp(sides[i].qp, &error, IBV_QP_STATE);
	}
	while (outstanding(true) && now() < end)
		for (int i = 0; i < qps; i++)
			reap(i);
	printf("statuses:");
	for (int s = 0; s < 32; s++)
		if (statuses[s] && s != IBV_WC_SUCCESS)
			printf(" %s (%llu)", ibv_wc_status_str((enum ibv_wc_status)s), (unsigned long long)statuses[s]);
	printf("\n");
	return outstanding(true) ? 4 : 3;
}

static void run(int meeting, bool sender)
{
	double end = now() + seconds;
	bool told = false, heard = false, said = false;

	for (int i = 0; i < qps && !writes; i++)
		while (at[i].posted < WINDOW)
			start_receive(i);
	barrier(meeting);
	while (!broken && !failure[0] && !(told && heard)) {
		bool stopping = now() > end, any = false;
		char byte;

		for (int i = 0; i < qps; i++) {
			while (sender && !stopping && !broken && at[i].sent - at[i].done < WINDOW && !failure[0])
				start_send(i);
			any |= reap(i);
		}
		if (!said && (messages > 200 || messages * size > 32 << 20 || (writes && !sender))) {
			said = true;
			printf("running\n");
			fflush(stdout);
		}
		if (stopping && !told && !outstanding(false)) {
			told = true;
			send(meeting, "x", 1, MSG_NOSIGNAL);
		}
		if (stopping && !heard && recv(meeting, &byte, 1, MSG_DONTWAIT) == 1)
			heard = true;
		if (!any && events && !broken)
			sleep_for_events(stopping ? meeting : -1);
		else if (!any)
			sched_yield();
	}
}

int main(int argc, char **argv)
{
	struct plan plan = { .depth = 2 * WINDOW };
	const char *server;
	double start;
	int option, meeting;

	while ((option = getopt(argc, argv, "eowq:s:d:")) != -1)
		switch (option) {
		case 'e': events = true; break;
		case 'o': one_way = true; break;
		case 'w': one_way = writes = true; break;
		case 'q': qps = atoi(optarg); break;
		case 's': size = (uint32_t)atoi(optarg); break;
		case 'd': seconds = atoi(optarg); break;
		default: die("usage");
		}
	server = argv[optind];
	if (qps < 1 || qps > QPS_MAX || size < sizeof(struct header))
		die("options");
	plan.events = events;
	plan.length = 2 * WINDOW * (size_t)size;
	meeting = meet(server);
	for (int i = 0; i < qps; i++) {
		struct address mine;

		make_objects(&sides[i], &plan);
		mine = address_of(&sides[i]);
		exchange(meeting, &mine, &others[i], sizeof(mine));
		connect_side(&sides[i], &plan, &others[i]);
	}
	start = now();
	run(meeting, server || !one_way);
	if (failure[0]) {
		printf("failed: %s\n", failure);
		return 1;
	}
	if (broken)
		return drain();
	printf("moved %llu messages, %.1f MB/s, wrong %llu\n", (unsigned long long)messages,
	       (double)messages * size / (now() - start) / 1e6, (unsigned long long)wrong);
	for (int i = 0; i < qps; i++) {
		struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };

		ibv_modify_qp(sides[i].qp, &error, IBV_QP_STATE);
		destroy_side(&sides[i]);
	}
	report("clean_up");
	return failures != 0;
}
