/*
 * states.c: queue pairs go where the specification lets them and nowhere else,
 * queries tell the truth, asynchronous events come when they must and once,
 * and what is in use cannot be destroyed.
 */
#include "check.h"

static struct plan plain;

static void queries_tell_the_truth(void)
{
	struct plan plan = { .timeout = 13, .retry_cnt = 5, .rnr_retry = 3, .min_rnr_timer = 9, .max_rd_atomic = 7,
			     .max_dest_rd_atomic = 5, .mtu = IBV_MTU_2048, .qp_access = IBV_ACCESS_REMOTE_READ };
	struct ibv_qp_init_attr init;
	struct address at_a, at_b;
	struct ibv_qp_attr attr;
	struct side a, b;

	make_objects(&a, &plan);
	make_objects(&b, &plan);
	at_a = address_of(&a);
	at_b = address_of(&b);
	EXPECT_STATE(&a, IBV_QPS_RESET);
	EXPECT(to_init(&a, &plan) == 0, "to INIT");
	EXPECT(ibv_query_qp(a.qp, &attr, 0xffff, &init) == 0, "ibv_query_qp");
	EXPECT(attr.qp_state == IBV_QPS_INIT && attr.port_num == 1 && attr.pkey_index == 0 &&
	       attr.qp_access_flags == IBV_ACCESS_REMOTE_READ, "state %d, port %d, access %#x", attr.qp_state, attr.port_num,
	       attr.qp_access_flags);
	EXPECT(to_rtr(&a, &plan, &at_b) == 0, "to RTR");
	EXPECT(ibv_query_qp(a.qp, &attr, 0xffff, &init) == 0, "ibv_query_qp");
	EXPECT(attr.qp_state == IBV_QPS_RTR && attr.path_mtu == IBV_MTU_2048 && attr.dest_qp_num == at_b.qpn &&
	       attr.rq_psn == at_b.psn && attr.min_rnr_timer == 9 && attr.max_dest_rd_atomic == 5, "RTR's attributes");
	EXPECT(attr.ah_attr.is_global && memcmp(&attr.ah_attr.grh.dgid, &at_b.gid, 16) == 0 &&
	       attr.ah_attr.grh.sgid_index == a.gid_index && attr.ah_attr.port_num == 1, "address vector");
	EXPECT(to_rts(&a, &plan) == 0, "to RTS");
	EXPECT(ibv_query_qp(a.qp, &attr, 0xffff, &init) == 0, "ibv_query_qp");
	EXPECT(attr.qp_state == IBV_QPS_RTS && attr.cur_qp_state == IBV_QPS_RTS && attr.timeout == 13 && attr.retry_cnt == 5 &&
	       attr.rnr_retry == 3 && attr.max_rd_atomic == 7 && attr.sq_psn == at_a.psn, "RTS's attributes");
	EXPECT(init.qp_type == IBV_QPT_RC && init.sq_sig_all == 1 && init.send_cq == a.send_cq && init.recv_cq == a.recv_cq &&
	       init.cap.max_send_wr >= 64 && init.cap.max_recv_wr >= 64 && init.cap.max_send_sge >= 4 && init.cap.max_recv_sge >= 4,
	       "what it was made with");
	connect_side(&b, &plain, &at_a);
	for (int i = 0; i < 3; i++) {	/* 3 messages of 2 packets */
		post_recv(&b, 1, 0, 4000);
		post_simple(&a, 2, IBV_WR_SEND, 0, 4000, NULL);
		EXPECT_WC(a.send_cq, 2, IBV_WC_SUCCESS);
	}
	EXPECT(ibv_query_qp(a.qp, &attr, IBV_QP_SQ_PSN, &init) == 0, "ibv_query_qp");
	EXPECT(attr.sq_psn == ((at_a.psn + 6) & 0xffffff), "PSN to send %#x, started at %#x", attr.sq_psn, at_a.psn);
	EXPECT(ibv_query_qp(b.qp, &attr, IBV_QP_RQ_PSN, &init) == 0, "ibv_query_qp");
	EXPECT(attr.rq_psn == ((at_a.psn + 6) & 0xffffff), "PSN expected %#x, started at %#x", attr.rq_psn, at_a.psn);
	destroy_pair(&a, &b);
}

static void transitions(void)
{
	enum ibv_qp_type types[] = { IBV_QPT_RC, IBV_QPT_UC, IBV_QPT_UD };

	for (int i = 0; i < 3; i++) {
		struct plan plan = { .type = types[i] };
		struct ibv_qp_attr attr = { .qp_state = IBV_QPS_RTS };
		struct address to;
		struct side a;

		make_objects(&a, &plan);
		to = address_of(&a);
		EXPECT(to_rts(&a, &plan) == EINVAL, "RESET to RTS");
		EXPECT(to_rtr(&a, &plan, &to) == EINVAL, "RESET to RTR");
		EXPECT(to_init(&a, &plan) == 0, "RESET to INIT");
		EXPECT(to_init(&a, &plan) == 0, "INIT to INIT");
		EXPECT(to_rts(&a, &plan) == EINVAL, "INIT to RTS");
		EXPECT(to_rtr(&a, &plan, &to) == 0, "INIT to RTR");
		EXPECT(to_init(&a, &plan) == EINVAL, "RTR to INIT");
		EXPECT(to_rts(&a, &plan) == 0, "RTR to RTS");
		EXPECT(to_rtr(&a, &plan, &to) == EINVAL, "RTS to RTR");
		attr.qp_state = IBV_QPS_SQD;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == 0, "RTS to SQD");
		EXPECT_STATE(&a, IBV_QPS_SQD);
		attr.qp_state = IBV_QPS_RTS;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == 0, "SQD to RTS");
		attr.qp_state = IBV_QPS_ERR;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == 0, "RTS to ERR");
		attr.qp_state = IBV_QPS_RTS;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == EINVAL, "ERR to RTS");
		EXPECT_STATE(&a, IBV_QPS_ERR);
		attr.qp_state = IBV_QPS_RESET;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == 0, "ERR to RESET");
		EXPECT_STATE(&a, IBV_QPS_RESET);
		attr.qp_state = IBV_QPS_INIT;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == EINVAL, "RESET to INIT without what it needs");
		attr.port_num = 2;
		EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE | IBV_QP_PORT | IBV_QP_PKEY_INDEX |
				     (types[i] == IBV_QPT_UD ? IBV_QP_QKEY : IBV_QP_ACCESS_FLAGS)) == EINVAL, "port 2");
		blame(types[i] == IBV_QPT_RC ? "RC" : types[i] == IBV_QPT_UC ? "UC" : "UD");
		destroy_side(&a);
	}
}

/* Nothing is sent in SQD; what stands in the queue goes on in RTS. */
static void send_queue_drains(void)
{
	struct ibv_qp_attr attr = { .qp_state = IBV_QPS_SQD, .en_sqd_async_notify = 1 };
	struct ibv_qp_init_attr init;
	struct side a, b;

	make_pair(&a, &b, &plain);
	EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE | IBV_QP_EN_SQD_ASYNC_NOTIFY) == 0, "to SQD: errno %d", errno);
	EXPECT_EVENT(&a, IBV_EVENT_SQ_DRAINED);
	EXPECT(ibv_query_qp(a.qp, &attr, IBV_QP_STATE, &init) == 0 && attr.qp_state == IBV_QPS_SQD && !attr.sq_draining, "drained");
	post_recv(&b, 1, 0, 64);
	post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_NO_WC(a.send_cq);
	post_recv(&a, 3, 0, 64);	/* receiving goes on */
	post_simple(&b, 4, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(a.recv_cq, 3, IBV_WC_SUCCESS);
	attr = (struct ibv_qp_attr){ .qp_state = IBV_QPS_RTS };
	EXPECT(ibv_modify_qp(a.qp, &attr, IBV_QP_STATE) == 0, "to RTS");
	EXPECT_WC(a.send_cq, 2, IBV_WC_SUCCESS);
	EXPECT_WC(b.recv_cq, 1, IBV_WC_SUCCESS);
	destroy_pair(&a, &b);
}

static void srq_limit(void)
{
	struct plan plan = { .srq = true };
	struct ibv_srq_attr attr;
	struct side a, b;

	make_pair(&a, &b, &plan);
	for (uint64_t i = 0; i < 10; i++)
		post_recv(&b, i, 0, 64);
	attr.srq_limit = 8;
	EXPECT(ibv_modify_srq(b.srq, &attr, IBV_SRQ_LIMIT) == 0, "ibv_modify_srq: errno %d", errno);
	EXPECT(ibv_query_srq(b.srq, &attr) == 0 && attr.srq_limit == 8 && attr.max_wr >= 64, "limit %u", attr.srq_limit);
	for (uint64_t i = 0; i < 6; i++) {
		post_simple(&a, 100 + i, IBV_WR_SEND, 0, 64, NULL);
		EXPECT_WC(b.recv_cq, i, IBV_WC_SUCCESS);
		if (i < 2)
			EXPECT_NO_EVENT(&b);	/* 9, 8 are left */
	}
	EXPECT_EVENT(&b, IBV_EVENT_SRQ_LIMIT_REACHED);
	EXPECT_NO_EVENT(&b);		/* once */
	EXPECT(ibv_query_srq(b.srq, &attr) == 0 && attr.srq_limit == 0, "the limit is still armed: %u", attr.srq_limit);
	destroy_pair(&a, &b);
}

static void srq_resize(void)
{
	struct plan plan = { .srq = true, .depth = 8 };
	struct ibv_srq_attr attr;
	struct side a, b;

	make_pair(&a, &b, &plan);
	for (uint64_t i = 0; i < 5; i++)
		post_recv(&b, i, i * 64, 64);
	attr.max_wr = 500;
	EXPECT(ibv_modify_srq(b.srq, &attr, IBV_SRQ_MAX_WR) == 0, "ibv_modify_srq: errno %d", errno);
	for (uint64_t i = 5; i < 300; i++)
		EXPECT(post_recv(&b, i, i * 64, 64) == 0, "post %llu", (unsigned long long)i);
	for (uint64_t i = 0; i < 300; i++) {
		fill(a.memory, 64, (uint32_t)i);
		post_simple(&a, 1000 + i, IBV_WR_SEND, 0, 64, NULL);
		EXPECT_WC(a.send_cq, 1000 + i, IBV_WC_SUCCESS);
		EXPECT_WC(b.recv_cq, i, IBV_WC_SUCCESS);
		EXPECT(differs(b.memory + i * 64, 64, (uint32_t)i) == 64, "data of message %llu", (unsigned long long)i);
	}
	destroy_pair(&a, &b);
}

static void last_wqe_reached(void)
{
	struct plan plan = { .srq = true };
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };
	struct side a, b;

	make_pair(&a, &b, &plan);
	post_recv(&b, 1, 0, 64);
	EXPECT(ibv_modify_qp(b.qp, &error, IBV_QP_STATE) == 0, "to ERR");
	EXPECT_EVENT(&b, IBV_EVENT_QP_LAST_WQE_REACHED);
	EXPECT_NO_EVENT(&b);
	EXPECT_NO_WC(b.recv_cq);	/* the SRQ's receives are for others */
	destroy_pair(&a, &b);
}

static void cq_overrun(void)
{
	struct plan plan = { .depth = 64, .cqe = 4 };
	struct side a, b;
	struct address to;
	bool of_cq = false, of_qp = false;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	for (uint64_t i = 0; i < 40; i++)
		post_simple(&a, i, IBV_WR_RDMA_WRITE, 0, 8, &to);
	for (int i = 0; i < 2; i++) {
		struct pollfd polled = { a.context->async_fd, POLLIN, 0 };
		struct ibv_async_event event;

		if (!EXPECT(poll(&polled, 1, 5000) == 1, "event %d does not come", i))
			break;
		ibv_get_async_event(a.context, &event);
		of_cq |= event.event_type == IBV_EVENT_CQ_ERR && event.element.cq == a.send_cq;
		of_qp |= event.event_type == IBV_EVENT_QP_FATAL && event.element.qp == a.qp;
		ibv_ack_async_event(&event);
	}
	EXPECT(of_cq && of_qp, "events: of the CQ %d, of the queue pair %d", of_cq, of_qp);
	EXPECT_STATE(&a, IBV_QPS_ERR);
	EXPECT_NO_EVENT(&a);
	destroy_pair(&a, &b);
}

static void cq_resize(void)
{
	struct plan plan = { .depth = 300, .cqe = 16 };
	struct side a, b;
	struct address to;

	make_pair(&a, &b, &plan);
	to = address_of(&b);
	for (uint64_t i = 0; i < 10; i++)
		post_simple(&a, i, IBV_WR_RDMA_WRITE, 0, 8, &to);
	pause_ms(100);
	EXPECT_WC(a.send_cq, 0, IBV_WC_SUCCESS);
	EXPECT(ibv_resize_cq(a.send_cq, 400) == 0, "ibv_resize_cq: errno %d", errno);
	EXPECT(a.send_cq->cqe >= 400, "%d entries", a.send_cq->cqe);
	for (uint64_t i = 10; i < 300; i++)
		post_simple(&a, i, IBV_WR_RDMA_WRITE, 0, 8, &to);
	pause_ms(100);
	for (uint64_t i = 1; i < 300; i++)
		EXPECT_WC(a.send_cq, i, IBV_WC_SUCCESS);
	EXPECT_NO_WC(a.send_cq);
	destroy_pair(&a, &b);
}

/* Completion events: none before a CQ is armed, one when it is, and solicited ones only for those who ask. */
static void completion_events(void)
{
	struct plan plan = { .events = true };
	struct pollfd polled;
	struct ibv_cq *cq;
	struct side a, b;
	void *context;

	make_pair(&a, &b, &plan);
	polled = (struct pollfd){ b.channel->fd, POLLIN, 0 };
	for (uint64_t i = 0; i < 6; i++)
		post_recv(&b, i, 0, 64);
	post_simple(&a, 1, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(b.recv_cq, 0, IBV_WC_SUCCESS);
	EXPECT(poll(&polled, 1, 20) == 0, "an event though nobody armed the CQ");
	EXPECT(ibv_req_notify_cq(b.recv_cq, 0) == 0, "ibv_req_notify_cq");
	for (int i = 0; i < 3; i++)
		post_simple(&a, 2, IBV_WR_SEND, 0, 64, NULL);
	EXPECT(poll(&polled, 1, 2000) == 1, "no event");
	EXPECT(ibv_get_cq_event(b.channel, &cq, &context) == 0 && cq == b.recv_cq, "ibv_get_cq_event");
	for (uint64_t i = 1; i < 4; i++)
		EXPECT_WC(b.recv_cq, i, IBV_WC_SUCCESS);
	EXPECT(poll(&polled, 1, 20) == 0, "more than one event");
	ibv_ack_cq_events(cq, 1);

	EXPECT(ibv_req_notify_cq(b.recv_cq, 1) == 0, "ibv_req_notify_cq");
	post_simple(&a, 3, IBV_WR_SEND, 0, 64, NULL);
	EXPECT_WC(b.recv_cq, 4, IBV_WC_SUCCESS);
	EXPECT(poll(&polled, 1, 20) == 0, "an event for a message that solicits none");
	{
		struct request r = request(&a, 4, IBV_WR_SEND, 0, 64, NULL);

		r.wr.send_flags |= IBV_SEND_SOLICITED;
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
	}
	EXPECT(poll(&polled, 1, 2000) == 1, "no event for a message that solicits one");
	/* Not read: destroying the CQ takes it back. */
	destroy_pair(&a, &b);
}

/* An error counts as solicited (IBTA 11.4.2.2). */
static void errors_are_solicited(void)
{
	struct plan plan = { .events = true };
	struct ibv_qp_attr error = { .qp_state = IBV_QPS_ERR };
	struct pollfd polled;
	struct side a, b;

	make_pair(&a, &b, &plan);
	polled = (struct pollfd){ b.channel->fd, POLLIN, 0 };
	post_recv(&b, 1, 0, 64);
	EXPECT(ibv_req_notify_cq(b.recv_cq, 1) == 0, "ibv_req_notify_cq");
	EXPECT(ibv_modify_qp(b.qp, &error, IBV_QP_STATE) == 0, "to ERR");
	EXPECT(poll(&polled, 1, 2000) == 1, "no event");
	destroy_pair(&a, &b);
}

static void in_use(void)
{
	struct plan plan = { .srq = true };
	struct side a;

	make_objects(&a, &plan);
	EXPECT(ibv_dealloc_pd(a.pd) == EBUSY, "the PD went though an MR is in it");
	EXPECT(ibv_destroy_cq(a.send_cq) == EBUSY, "the CQ went though a queue pair uses it");
	EXPECT(ibv_destroy_srq(a.srq) == EBUSY, "the SRQ went though a queue pair uses it");
	destroy_side(&a);
}

static void limits(void)
{
	struct ibv_qp_init_attr init = { .qp_type = IBV_QPT_RC }, asked;
	struct ibv_device_attr device;
	struct side a;

	make_objects(&a, &plain);
	EXPECT(ibv_query_device(a.context, &device) == 0, "ibv_query_device");
	init.send_cq = a.send_cq;
	init.recv_cq = a.recv_cq;
	init.cap.max_send_wr = init.cap.max_recv_wr = init.cap.max_send_sge = init.cap.max_recv_sge = 1;
	asked = init;
	asked.cap.max_send_wr = (uint32_t)device.max_qp_wr + 1;
	EXPECT(!ibv_create_qp(a.pd, &asked) && errno == EINVAL, "max_send_wr: errno %d", errno);
	asked = init;
	asked.cap.max_recv_wr = 0xffffffff;
	EXPECT(!ibv_create_qp(a.pd, &asked) && errno == EINVAL, "max_recv_wr: errno %d", errno);
	asked = init;
	asked.cap.max_send_sge = (uint32_t)device.max_sge + 1;
	EXPECT(!ibv_create_qp(a.pd, &asked) && errno == EINVAL, "max_send_sge: errno %d", errno);
	asked = init;
	asked.cap.max_inline_data = 1 << 20;
	EXPECT(!ibv_create_qp(a.pd, &asked) && errno == EINVAL, "max_inline_data: errno %d", errno);
	EXPECT(!ibv_create_cq(a.context, device.max_cqe + 1, NULL, NULL, 0), "max_cqe");
	EXPECT(!ibv_create_cq(a.context, 10, NULL, NULL, a.context->num_comp_vectors), "completion vector");
	asked = init;
	asked.cap.max_send_wr = (uint32_t)device.max_qp_wr;
	asked.cap.max_recv_wr = (uint32_t)device.max_qp_wr;
	{
		struct ibv_qp *qp = ibv_create_qp(a.pd, &asked);

		EXPECT(qp, "as many work requests as the device says: errno %d", errno);
		if (qp)
			ibv_destroy_qp(qp);
	}
	destroy_side(&a);
}

/* Every member of a group hears what is sent to it. */
static void multicast(void)
{
	struct plan plan = { .type = IBV_QPT_UD };
	union ibv_gid group = { .raw = { 0xff, 0x0e, [10] = 0xff, 0xff, 239, 1, 2, 3 } };
	struct side a, b, c;
	struct ibv_ah_attr way;
	struct request r;
	struct address to;
	struct ibv_ah *ah;

	make_pair(&a, &b, &plan);
	make_objects(&c, &plan);
	to = address_of(&b);
	connect_side(&c, &plan, &to);
	EXPECT(ibv_attach_mcast(b.qp, &group, 0) == 0, "ibv_attach_mcast: errno %d", errno);
	EXPECT(ibv_attach_mcast(c.qp, &group, 0) == 0, "ibv_attach_mcast: errno %d", errno);
	to.gid = group;
	way = route(&a, &to);
	ah = ibv_create_ah(a.pd, &way);
	if (!EXPECT(ah, "ibv_create_ah: errno %d", errno))
		return;
	fill(a.memory, 500, 3);
	r = request(&a, 1, IBV_WR_SEND, 0, 500, NULL);
	r.wr.wr.ud.ah = ah;
	r.wr.wr.ud.remote_qpn = 0xffffff;
	r.wr.wr.ud.remote_qkey = QKEY;
	for (int round = 0; round < 2; round++) {
		post_recv(&b, 2, 0, 540);
		post_recv(&c, 3, 0, 540);
		EXPECT(post(&a, &r) == 0, "ibv_post_send");
		EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
		EXPECT_WC(b.recv_cq, 2, IBV_WC_SUCCESS);
		EXPECT(differs(b.memory + 40, 500, 3) == 500, "data");
		if (round == 0) {
			EXPECT_WC(c.recv_cq, 3, IBV_WC_SUCCESS);
			EXPECT(differs(c.memory + 40, 500, 3) == 500, "data");
			EXPECT(ibv_detach_mcast(c.qp, &group, 0) == 0, "ibv_detach_mcast: errno %d", errno);
		} else {
			EXPECT_NO_WC(c.recv_cq);
		}
	}
	EXPECT(ibv_detach_mcast(b.qp, &group, 0) == 0, "ibv_detach_mcast: errno %d", errno);
	ibv_destroy_ah(ah);
	destroy_pair(&a, &b);
	destroy_side(&c);
}

int main(int argc, char **argv)
{
	CASE(queries_tell_the_truth);
	CASE(transitions);
	CASE(send_queue_drains);
	CASE(srq_limit);
	CASE(srq_resize);
	CASE(last_wqe_reached);
	CASE(cq_overrun);
	CASE(cq_resize);
	CASE(completion_events);
	CASE(errors_are_solicited);
	CASE(in_use);
	CASE(limits);
	CASE(multicast);
	return failures != 0;
}
