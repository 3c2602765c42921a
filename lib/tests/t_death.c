/*
 * The router dies: nobody hangs, and whoever polls is told.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <rdma/rdma_user_rxe.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static pid_t router_of(int fd)
{
	uint64_t answer[4];

	CHECK(mock(fd, MOCK_PID, 0, 0, 0, answer) == 0);
	return (pid_t)answer[0];
}

static void post(struct rxe_queue_buf *queue, uint64_t wr_id, uint32_t opcode)
{
	uint32_t at = queue->producer_index & queue->index_mask;
	char *wqe = (char *)queue->data + ((size_t)at << queue->log2_elem_size);

	memcpy(wqe, &wr_id, sizeof(wr_id));
	memcpy(wqe + offsetof(struct rxe_send_wr, opcode), &opcode, sizeof(opcode));
	__atomic_store_n(&queue->producer_index, (at + 1) & queue->index_mask, __ATOMIC_RELEASE);
}

/* As a program polls: for ever, were it not for the alarm. */
static struct ib_uverbs_wc poll_cq(struct rxe_queue_buf *queue)
{
	struct ib_uverbs_wc wc;
	uint32_t at = queue->consumer_index & queue->index_mask;

	while (__atomic_load_n(&queue->producer_index, __ATOMIC_ACQUIRE) == at)
		usleep(100);
	memcpy(&wc, (char *)queue->data + ((size_t)at << queue->log2_elem_size), sizeof(wc));
	__atomic_store_n(&queue->consumer_index, (at + 1) & queue->index_mask, __ATOMIC_RELEASE);
	return wc;
}

static void pollers_are_released(void)
{
	int fd = device(NULL), srq;
	void *send_queue, *recv_queue, *srq_queue;
	int send_cq = create_cq(fd, 1, 3, -1, &send_queue), recv_cq = create_cq(fd, 2, 100, -1, &recv_queue);
	struct qp a, b;
	struct ib_uverbs_wc wc;

	CHECK(send_cq > 0 && recv_cq > 0 && (srq = create_srq(fd, &srq_queue)) > 0);
	CHECK(create_qp(fd, send_cq, recv_cq, 0, &a) == 0 && create_qp(fd, send_cq, recv_cq, srq, &b) == 0);
	for (uint64_t i = 0; i < 6; i++)	/* more than the CQ has room for */
		post(a.sq, 100 + i, i == 1 ? IB_UVERBS_WR_RDMA_READ : IB_UVERBS_WR_SEND);
	for (uint64_t i = 0; i < 3; i++)
		post(a.rq, 200 + i, 0);
	post(b.sq, 300, IB_UVERBS_WR_ATOMIC_FETCH_AND_ADD);
	post(srq_queue, 400, 0);
	kill(router_of(fd), SIGKILL);

	/* Each QP's in order; between QPs there is none. */
	for (uint64_t i = 0, others = 0; i + others < 7;) {
		wc = poll_cq(send_queue);
		CHECK(wc.status == 5);
		if (wc.qp_num == b.qpn) {
			CHECK(others++ == 0 && wc.wr_id == 300 && wc.opcode == 4);
			continue;
		}
		CHECK(wc.wr_id == 100 + i && wc.qp_num == a.qpn && wc.opcode == (i == 1 ? 2 : 0));
		i++;
	}
	for (uint64_t i = 0; i < 3; i++) {
		wc = poll_cq(recv_queue);
		CHECK(wc.wr_id == 200 + i && wc.status == 5 && wc.opcode == 128 && wc.qp_num == a.qpn);
	}
	wc = poll_cq(recv_queue);
	CHECK(wc.wr_id == 400 && wc.qp_num == b.qpn);
	/* Posted afterwards, and without a doorbell. */
	post(a.rq, 500, 0);
	CHECK(poll_cq(recv_queue).wr_id == 500);
	CHECK(doorbell(fd, (uint32_t)a.handle) == -EIO);
	CHECK(alloc_pd(fd) == -EIO && req_notify(fd, send_cq, false) == -EIO);
	CHECK(close(fd) == 0);
	CHECK(open(DEVICE, O_RDWR) < 0);
}

static void resized_queues_are_known(void)
{
	struct { struct ib_uverbs_cmd_hdr header; struct ib_uverbs_resize_cq core; } c = {
		.header = { IB_USER_VERBS_CMD_RESIZE_CQ, sizeof(c) / 4, 6 } };
	struct { struct ib_uverbs_resize_cq_resp core; struct mminfo info; } r;
	int fd = device(NULL);
	int cq = create_cq(fd, 1, 3, -1, NULL);
	void *queue;
	struct qp qp;

	CHECK(create_qp(fd, cq, cq, 0, &qp) == 0);
	c.core.response = (uintptr_t)&r;
	c.core.cq_handle = (uint32_t)cq;
	CHECK(write(fd, &c, sizeof(c)) == sizeof(c));
	queue = mmap(NULL, r.info.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)r.info.offset);
	CHECK(queue != MAP_FAILED);
	post(qp.rq, 7, 0);
	kill(router_of(fd), SIGKILL);
	CHECK(poll_cq(queue).wr_id == 7);
}

static void blocked_readers_wake(void)
{
	int async, fd = device(&async), channel = create_channel(fd);
	char bytes[16];
	pid_t child;

	CHECK(create_cq(fd, 1, 10, channel, NULL) > 0);
	child = fork();
	if (child == 0) {
		usleep(50000);
		kill(router_of(fd), SIGKILL);
		_exit(0);
	}
	CHECK(read(channel, bytes, 8) <= 0);
	CHECK(read(async, bytes, 16) <= 0);
	waitpid(child, NULL, 0);
}

static void dies_during_a_command(void)
{
	int fd = device(NULL);
	char *p = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int mr;

	memset(p, 3, 1 << 20);
	CHECK((mr = reg_mr(fd, p, 1 << 19, LOCAL_WRITE)) > 0);
	CHECK(mock(fd, MOCK_DIE_NEXT, 0, 0, 0, NULL) == 0);
	CHECK(reg_mr(fd, p + (1 << 19), 1 << 19, LOCAL_WRITE) == -EIO);
	CHECK(dereg_mr(fd, mr) == -EIO);
	CHECK(p[0] == 3 && p[(1 << 20) - 1] == 3);
	CHECK(munmap(p, 1 << 16) == 0 && p[1 << 17] == 3);
	CHECK(close(fd) == 0 && p[1 << 17] == 3);
}

static void *stubborn(void *argument)
{
	while (alloc_pd(*(int *)argument) != -EIO)
		;
	return NULL;
}

static void dies_among_threads_and_children(void)
{
	int fd = device(NULL), status;
	pid_t router = router_of(fd), children[3];
	pthread_t threads[4];

	for (int i = 0; i < 3; i++) {
		children[i] = fork();
		if (children[i] == 0) {
			stubborn(&fd);
			_exit(0);
		}
	}
	for (int i = 0; i < 4; i++)
		CHECK(pthread_create(&threads[i], NULL, stubborn, &fd) == 0);
	usleep(30000);
	kill(router, SIGKILL);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
	for (int i = 0; i < 3; i++)
		CHECK(waitpid(children[i], &status, 0) == children[i] && status == 0);
}

/* The thread that waits for the router must not keep a program from ending. */
static void main_thread_may_leave(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		device(NULL);
		alarm(10);
		pthread_exit(NULL);
	}
	CHECK(waitpid(child, &status, 0) == child);
	CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const struct test tests[] = {
	TEST(pollers_are_released),
	TEST(resized_queues_are_known),
	TEST(blocked_readers_wake),
	TEST(dies_during_a_command),
	TEST(dies_among_threads_and_children),
	TEST(main_thread_may_leave),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
