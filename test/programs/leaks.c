/*
 * leaks.c: makes and ends thousands of objects, which is to leave nothing.
 *
 *	leaks registrations|queue_pairs|contexts|all COUNT
 *	leaks abandon COUNT		makes them and ends without a word
 */
#include "check.h"
#include <signal.h>

static void registrations(int count)
{
	struct plan plan = { 0 };
	struct side a;
	size_t length = 256 << 10;
	uint8_t *memory = mmap(NULL, 16 * length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mrs[16];

	make_objects(&a, &plan);
	for (int i = 0; i < count; i += 16) {
		for (int k = 0; k < 16; k++) {
			memory[(size_t)k * length + 5000] = (uint8_t)i;	/* something to share */
			mrs[k] = ibv_reg_mr(a.pd, memory + (size_t)k * length + 100, length - 200, ALL_ACCESS);
			if (!EXPECT(mrs[k], "registration %d: errno %d", i + k, errno))
				return;
		}
		for (int k = 0; k < 16; k++) {
			EXPECT(ibv_dereg_mr(mrs[k]) == 0, "ibv_dereg_mr: errno %d", errno);
			EXPECT(memory[(size_t)k * length + 5000] == (uint8_t)i, "memory changed");
		}
	}
	munmap(memory, 16 * length);
	destroy_side(&a);
}

static void queue_pairs(int count)
{
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC, .cap = { 64, 64, 2, 2, 64 } };
	struct plan plan = { 0 };
	struct ibv_qp *qps[100];
	struct side a;

	make_objects(&a, &plan);
	init.send_cq = a.send_cq;
	init.recv_cq = a.recv_cq;
	for (int i = 0; i < count; i += 100) {
		for (int k = 0; k < 100; k++) {
			qps[k] = ibv_create_qp(a.pd, &init);
			if (!EXPECT(qps[k], "queue pair %d: errno %d", i + k, errno))
				return;
		}
		for (int k = 0; k < 100; k++)
			EXPECT(ibv_destroy_qp(qps[k]) == 0, "ibv_destroy_qp: errno %d", errno);
	}
	destroy_side(&a);
}

static void contexts(int count)
{
	for (int i = 0; i < count; i++) {
		struct plan plan = { .srq = i % 2, .events = i % 3 == 0, .length = 128 << 10 };
		struct side a, b;

		if (i % 2) {	/* an empty one */
			ibv_close_device(open_device());
			continue;
		}
		make_pair(&a, &b, &plan);
		post_recv(&b, 1, 0, 64);
		post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL);
		EXPECT_WC(a.send_cq, 2, IBV_WC_SUCCESS);
		destroy_pair(&a, &b);
		i++;		/* these were two */
	}
}

static int count_files(void)
{
	int n = 0;

	for (int fd = 0; fd < 4096; fd++)
		n += fcntl(fd, F_GETFD) >= 0;
	return n;
}

/* Leaves all of it to the router. */
static void abandon(int count)
{
	for (int i = 0; i < count; i++) {
		struct plan plan = { .srq = i % 2, .events = true, .length = 1 << 20 };
		struct side a, b;

		make_pair(&a, &b, &plan);
		memset(a.memory, 1, a.length);
		for (uint64_t k = 0; k < 10; k++)
			post_simple(&a, k, IBV_WR_SEND, 0, 64, NULL);
	}
	kill(getpid(), 9);
}

int main(int argc, char **argv)
{
	const char *what = argc == 3 ? argv[1] : "";
	int count = argc == 3 ? atoi(argv[2]) : 0;
	bool all = strcmp(what, "all") == 0;
	int files;

	ibv_close_device(open_device());	/* what is made once is made */
	files = count_files();
	if (all || strcmp(what, "registrations") == 0)
		registrations(count), report("registrations");
	if (all || strcmp(what, "queue_pairs") == 0)
		queue_pairs(count), report("queue_pairs");
	if (all || strcmp(what, "contexts") == 0)
		contexts(all ? count / 10 : count), report("contexts");
	if (strcmp(what, "abandon") == 0)
		abandon(count);
	EXPECT(count_files() == files, "%d descriptors, %d before", count_files(), files);
	report("descriptors");
	return failures != 0;
}
