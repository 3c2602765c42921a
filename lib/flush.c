#include "flush.h"

#include <rdma/rdma_user_rxe.h>
#include <string.h>

#define WC_WR_FLUSH_ERR	5
#define WC_RECV		128

/* A queue with its geometry checked against the room it has. */
struct ring {
	struct rxe_queue_buf *header;	/* NULL: none */
	size_t size;
	uint32_t mask, shift;
};

static struct ring ring_open(const struct context *context, const struct queue *queue)
{
	struct ring ring = { .size = queue->size };
	struct rxe_queue_buf *header;

	if (!queue->live || queue->size < sizeof(*header))
		return ring;
	header = mmap(NULL, queue->size, PROT_READ | PROT_WRITE, MAP_SHARED, context->rings_fd,
		      (off_t)queue->offset);
	if (header == MAP_FAILED)
		return ring;
	ring.mask = header->index_mask;
	ring.shift = header->log2_elem_size;
	if (ring.shift > 20 || (ring.mask & (ring.mask + 1)) != 0 ||
	    sizeof(*header) + (((size_t)ring.mask + 1) << ring.shift) > queue->size)
		REAL(munmap)(header, queue->size);
	else
		ring.header = header;
	return ring;
}

static void ring_close(struct ring *ring)
{
	if (ring->header)
		REAL(munmap)(ring->header, ring->size);
}

/* The oldest element that its producer has published, or NULL. */
static const void *ring_first(const struct ring *ring)
{
	uint32_t at = __atomic_load_n(&ring->header->consumer_index, __ATOMIC_RELAXED) & ring->mask;
	uint32_t end = __atomic_load_n(&ring->header->producer_index, __ATOMIC_ACQUIRE) & ring->mask;

	return at == end ? NULL : ring->header->data + ((size_t)at << ring->shift);
}

/* Done with the oldest: the release lets its producer write there again. */
static void ring_advance(const struct ring *ring)
{
	uint32_t at = __atomic_load_n(&ring->header->consumer_index, __ATOMIC_RELAXED);

	__atomic_store_n(&ring->header->consumer_index, (at + 1) & ring->mask, __ATOMIC_RELEASE);
}

/* Publishes a completion, with release, unless the ring is full. */
static bool ring_put(const struct ring *ring, const struct ib_uverbs_wc *wc)
{
	uint32_t at = __atomic_load_n(&ring->header->producer_index, __ATOMIC_RELAXED) & ring->mask;
	uint32_t end = __atomic_load_n(&ring->header->consumer_index, __ATOMIC_ACQUIRE) & ring->mask;

	if (((at + 1) & ring->mask) == end || (1u << ring->shift) < sizeof(*wc))
		return false;
	memcpy(ring->header->data + ((size_t)at << ring->shift), wc, sizeof(*wc));
	__atomic_store_n(&ring->header->producer_index, (at + 1) & ring->mask, __ATOMIC_RELEASE);
	return true;
}

static uint32_t completion_opcode(uint32_t opcode)
{
	switch (opcode) {
	case IB_UVERBS_WR_RDMA_WRITE:
	case IB_UVERBS_WR_RDMA_WRITE_WITH_IMM:
		return IB_UVERBS_WC_RDMA_WRITE;
	case IB_UVERBS_WR_RDMA_READ:
	case IB_UVERBS_WR_RDMA_READ_WITH_INV:
		return IB_UVERBS_WC_RDMA_READ;
	case IB_UVERBS_WR_ATOMIC_CMP_AND_SWP:
	case IB_UVERBS_WR_MASKED_ATOMIC_CMP_AND_SWP:
		return IB_UVERBS_WC_COMP_SWAP;
	case IB_UVERBS_WR_ATOMIC_FETCH_AND_ADD:
	case IB_UVERBS_WR_MASKED_ATOMIC_FETCH_AND_ADD:
		return IB_UVERBS_WC_FETCH_ADD;
	case IB_UVERBS_WR_BIND_MW:
		return IB_UVERBS_WC_BIND_MW;
	case IB_UVERBS_WR_LOCAL_INV:
		return IB_UVERBS_WC_LOCAL_INV;
	default:
		return IB_UVERBS_WC_SEND;
	}
}

/* Moves what stands in a work queue to a CQ, as far as that has room. */
/* Where the router keeps how far completions were published: pad_3 of the header, bytes 320 and 324. */
#define DONE		15
#define DONE_KEPT	16
#define DONE_MAGIC	0x454e4f44u

/*
 * The router gives slots back before it publishes their completions. Dying
 * between the two it owes some: they begin where completions ended.
 */
static void ring_rewind(struct ring *ring)
{
	uint32_t done = __atomic_load_n(&ring->header->pad_3[DONE], __ATOMIC_ACQUIRE) & ring->mask;

	if (ring->header->pad_3[DONE_KEPT] == DONE_MAGIC)
		__atomic_store_n(&ring->header->consumer_index, done, __ATOMIC_RELEASE);
}

static void ring_done(struct ring *ring)
{
	uint32_t at = __atomic_load_n(&ring->header->consumer_index, __ATOMIC_RELAXED);

	__atomic_store_n(&ring->header->pad_3[DONE], at, __ATOMIC_RELEASE);
}

static bool flush_queue(const struct context *context, const struct queue *work, uint32_t cq_handle,
			uint32_t qpn, bool receive, bool is_shared)
{
	struct ring from, to;
	bool flushed = false;
	const void *wqe;

	if (cq_handle >= HANDLES_MAX)
		return false;
	from = ring_open(context, work);
	to = ring_open(context, &context->objects.cq[cq_handle]);
	if (from.header && !is_shared)
		ring_rewind(&from);
	while (from.header && to.header && (wqe = ring_first(&from))) {
		struct ib_uverbs_wc wc = { .status = WC_WR_FLUSH_ERR, .qp_num = qpn };
		uint32_t opcode;

		memcpy(&wc.wr_id, wqe, sizeof(wc.wr_id));
		memcpy(&opcode, (const char *)wqe + offsetof(struct rxe_send_wr, opcode), sizeof(opcode));
		wc.opcode = receive ? WC_RECV : completion_opcode(opcode);
		if (!ring_put(&to, &wc))
			break;
		ring_advance(&from);
		if (!is_shared)
			ring_done(&from);
		flushed = true;
	}
	ring_close(&from);
	ring_close(&to);
	return flushed;
}

/*
 * An SRQ's receives belong to no QP until a message takes one; they are given
 * to the first QP that uses it, since somebody may poll for them.
 */
static bool flush_qp(const struct context *context, const struct qp_record *qp)
{
	const struct queue *receive = &qp->rq;
	bool flushed = flush_queue(context, &qp->sq, qp->send_cq, qp->qpn, false, false);

	if (qp->has_srq)
		receive = qp->srq < HANDLES_MAX ? &context->objects.srq[qp->srq] : NULL;
	if (receive)
		flushed |= flush_queue(context, receive, qp->recv_cq, qp->qpn, true, qp->has_srq);
	return flushed;
}

bool flush_context(struct context *context)
{
	bool flushed = false;

	for (uint32_t i = 0; i < context->objects.qp_end; i++)
		if (context->objects.qp[i].live)
			flushed |= flush_qp(context, &context->objects.qp[i]);
	return flushed;
}
