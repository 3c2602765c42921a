/*
 * gone.c: what the queue pairs of a program hear when the host of their peers
 * goes: "gone [SERVER]". The server only stays. The client has
 *
 *	active	sends; gives up when its retries are used up
 *	patient	sends; its timeout is 0, so it would wait for ever
 *	idle	has receives posted, and waits
 *	eager	sends SENDs that find no receive; it waits for the receiver for ever
 */
#include "check.h"

#define QPS 4
enum { ACTIVE, PATIENT, IDLE, EAGER };

static const char *const names[QPS] = { "active", "patient", "idle", "eager" };
static struct side sides[QPS];
static struct address others[QPS];
static struct { uint64_t done; double last; bool over; } at[QPS];

static void next(int i)
{
	if (i == ACTIVE || i == PATIENT)
		post_simple(&sides[i], at[i].done, IBV_WR_RDMA_WRITE, 0, 512, &others[i]);
	at[i].last = now();
}

/* Looks at one queue pair; the work requests succeed until the host is gone. */
static void look(int i)
{
	struct ibv_wc wc;
	char line[128];

	if (at[i].over)
		return;
	if (ibv_poll_cq(sides[i].send_cq, 1, &wc) != 1 && ibv_poll_cq(sides[i].recv_cq, 1, &wc) != 1)
		return;
	at[i].done++;
	if (wc.status == IBV_WC_SUCCESS) {
		next(i);
		return;
	}
	at[i].over = true;
	printf("%s: %s, %.2f s after the last success\n", names[i], ibv_wc_status_str(wc.status), now() - at[i].last);
	EXPECT(wc.status == IBV_WC_RETRY_EXC_ERR || wc.status == IBV_WC_WR_FLUSH_ERR, "status");
	EXPECT_STATE(&sides[i], IBV_QPS_ERR);
	snprintf(line, sizeof(line), "%s", names[i]);
	report(line);
}

int main(int argc, char **argv)
{
	struct plan plans[QPS] = { [PATIENT] = { .timeout = -1 }, [EAGER] = { .timeout = -1, .rnr_retry = 7, .min_rnr_timer = 1 } };
	int meeting = meet(argv[1]), over = 0;
	double end;

	for (int i = 0; i < QPS; i++) {
		struct address mine;

		make_objects(&sides[i], &plans[i]);
		mine = address_of(&sides[i]);
		exchange(meeting, &mine, &others[i], sizeof(mine));
		connect_side(&sides[i], &plans[i], &others[i]);
	}
	barrier(meeting);
	if (argc < 2)
		for (;;)
			pause();
	post_recv(&sides[IDLE], 0, 0, 64);
	post_simple(&sides[EAGER], 0, IBV_WR_SEND, 0, 64, NULL);
	for (int i = 0; i < QPS; i++)
		next(i);
	for (end = now() + 40; over < QPS && now() < end; pause_ms(1)) {
		if (at[ACTIVE].done == 200) {
			printf("running\n");
			fflush(stdout);
		}
		over = 0;
		for (int i = 0; i < QPS; i++) {
			look(i);
			over += at[i].over;
		}
	}
	for (int i = 0; i < QPS; i++)
		if (!at[i].over) {
			EXPECT(false, "hears nothing");
			report(names[i]);
		}
	return failures != 0;
}
