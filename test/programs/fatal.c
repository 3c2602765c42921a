/*
 * fatal.c: what a program hears of the router's end. It waits for
 * IBV_EVENT_DEVICE_FATAL; a router that was killed ("fatal killed") cannot
 * send it, and the read ends all the same. Later commands fail and do not hang.
 */
#include "check.h"

int main(int argc, char **argv)
{
	bool killed = argc > 1 && strcmp(argv[1], "killed") == 0;
	struct ibv_async_event event;
	struct plan plan = { 0 };
	struct side a, b;

	make_pair(&a, &b, &plan);
	printf("waiting\n");
	fflush(stdout);
	if (ibv_get_async_event(a.context, &event) == 0) {
		EXPECT(event.event_type == IBV_EVENT_DEVICE_FATAL, "event: %s", ibv_event_type_str(event.event_type));
		ibv_ack_async_event(&event);
	} else {
		EXPECT(killed, "no event: errno %d", errno);
	}
	pause_ms(300);
	EXPECT(!ibv_alloc_pd(a.context) && errno == EIO, "ibv_alloc_pd: errno %d", errno);
	EXPECT(!ibv_reg_mr(a.pd, a.memory, 4096, 0) && errno == EIO, "ibv_reg_mr: errno %d", errno);
	post_recv(&a, 1, 0, 64);
	EXPECT_WC(a.recv_cq, 1, IBV_WC_WR_FLUSH_ERR);
	report("fatal");
	return failures != 0;	/* and the end of a process with dead objects is an end */
}
