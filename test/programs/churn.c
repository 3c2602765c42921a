/*
 * churn.c: makes and unmakes objects, for what is left of them in the router.
 *
 *	churn mrs N | qps N | contexts N
 *
 * qps and mrs hold 500 at a time, so that they stand beside each other.
 */
#include <infiniband/verbs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 500

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static struct ibv_context *open_device(void)
{
	struct ibv_device **list = ibv_get_device_list(NULL);
	struct ibv_context *context = list && list[0] ? ibv_open_device(list[0]) : NULL;

	if (!context)
		die("open the device");
	ibv_free_device_list(list);
	return context;
}

static void mrs(struct ibv_pd *pd, int n)
{
	static struct ibv_mr *made[BATCH];
	char *memory = aligned_alloc(4096, BATCH * 3 * 4096);

	for (int left = n; left > 0; left -= BATCH) {
		for (int i = 0; i < BATCH; i++) {
			char *start = memory + (size_t)i * 3 * 4096 + 100;

			memset(start, i, 8192);
			made[i] = ibv_reg_mr(pd, start, 8192, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ);
			if (!made[i])
				die("ibv_reg_mr");
		}
		for (int i = 0; i < BATCH; i++) {
			if (memory[(size_t)i * 3 * 4096 + 5000] != (char)i) {
				fprintf(stderr, "registered memory lost its bytes\n");
				exit(1);
			}
			if (ibv_dereg_mr(made[i]))
				die("ibv_dereg_mr");
		}
	}
	free(memory);
}

static void qps(struct ibv_context *context, struct ibv_pd *pd, int n)
{
	static struct ibv_qp *made[BATCH];

	for (int left = n; left > 0; left -= BATCH) {
		struct ibv_cq *cq = ibv_create_cq(context, 256, NULL, NULL, 0);
		struct ibv_qp_init_attr init = {
			.send_cq = cq, .recv_cq = cq, .qp_type = IBV_QPT_RC,
			.cap = { .max_send_wr = 16, .max_recv_wr = 16, .max_send_sge = 1, .max_recv_sge = 1 },
		};
		struct ibv_qp_attr attr = { .qp_state = IBV_QPS_INIT, .port_num = 1 };

		if (!cq)
			die("ibv_create_cq");
		for (int i = 0; i < BATCH; i++) {
			made[i] = ibv_create_qp(pd, &init);
			if (!made[i])
				die("ibv_create_qp");
			if (ibv_modify_qp(made[i], &attr, IBV_QP_STATE | IBV_QP_PKEY_INDEX | IBV_QP_PORT | IBV_QP_ACCESS_FLAGS))
				die("ibv_modify_qp");
		}
		for (int i = 0; i < BATCH; i++)
			if (ibv_destroy_qp(made[i]))
				die("ibv_destroy_qp");
		if (ibv_destroy_cq(cq))
			die("ibv_destroy_cq");
	}
}

int main(int argc, char **argv)
{
	int n = argc == 3 ? atoi(argv[2]) : 0;

	if (n <= 0) {
		fprintf(stderr, "usage: churn mrs|qps|contexts N\n");
		return 2;
	}
	if (!strcmp(argv[1], "contexts")) {
		for (int i = 0; i < n; i++) {
			struct ibv_context *context = open_device();
			struct ibv_pd *pd = ibv_alloc_pd(context);
			struct ibv_comp_channel *channel = ibv_create_comp_channel(context);
			struct ibv_cq *cq = channel ? ibv_create_cq(context, 16, NULL, channel, 0) : NULL;

			if (!pd || !cq)
				die("objects of a context");
			/* Every other context goes with all that it has, as when a program just ends. */
			if (i % 2 && (ibv_destroy_cq(cq) || ibv_destroy_comp_channel(channel) || ibv_dealloc_pd(pd)))
				die("destroy");
			if (ibv_close_device(context))
				die("ibv_close_device");
		}
		return 0;
	}
	struct ibv_context *context = open_device();
	struct ibv_pd *pd = ibv_alloc_pd(context);

	if (!pd)
		die("ibv_alloc_pd");
	if (!strcmp(argv[1], "mrs"))
		mrs(pd, n);
	else
		qps(context, pd, n);
	if (ibv_dealloc_pd(pd) || ibv_close_device(context))
		die("close");
	return 0;
}
