/*
 * victim.c: has memory that nobody else may reach, and looks at it. It says
 * where the memory is, waits for SIGUSR1, and looks again.
 */
#include "check.h"
#include <signal.h>

int main(void)
{
	struct plan plan = { .length = 1 << 20 };
	struct side sides[16];
	sigset_t set;
	int got;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	for (int i = 0; i < 16; i += 2) {
		make_pair(&sides[i], &sides[i + 1], &plan);
		fill(sides[i].memory, plan.length, (uint32_t)i);
		fill(sides[i + 1].memory, plan.length, (uint32_t)i + 1);
	}
	printf("memory %#lx, keys %#x to %#x\n", (unsigned long)(uintptr_t)sides[0].memory, sides[0].mr->rkey, sides[15].mr->rkey);
	fflush(stdout);
	sigwait(&set, &got);
	for (int i = 0; i < 16; i++) {
		size_t at = differs(sides[i].memory, plan.length, (uint32_t)i);

		EXPECT(at == plan.length, "memory %d changed at %zu", i, at);
		EXPECT_STATE(&sides[i], IBV_QPS_RTS);
		EXPECT_NO_WC(sides[i].send_cq);
	}
	for (int i = 0; i < 16; i++)
		destroy_side(&sides[i]);
	report("untouched");
	return failures != 0;
}
