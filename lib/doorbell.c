#include "doorbell.h"

#include <errno.h>
#include <sched.h>
#include <sys/syscall.h>

/* A system call without libc's errno, cancellation and wrappers. */
static inline long raw_write(int fd, const void *bytes, size_t length)
{
#if defined(__x86_64__)
	long result;

	__asm__ volatile("syscall" : "=a"(result)
			 : "0"((long)SYS_write), "D"((long)fd), "S"(bytes), "d"(length)
			 : "rcx", "r11", "memory");
	return result;
#else
	int saved = errno;
	long result = syscall(SYS_write, fd, bytes, length);

	if (result < 0)
		result = -errno;
	errno = saved;
	return result;
#endif
}

void doorbell_wake(struct context *context)
{
	static const uint64_t one = 1;
	unsigned int cpu = (unsigned int)sched_getcpu();
	uint8_t worker = cpu < CPUS_MAX ? context->worker_of_cpu[cpu] : 0;

	/* EAGAIN means that the counter is full: the worker will look anyway. */
	raw_write(context->wake_fd[worker], &one, sizeof(one));
}

int doorbell_ring(struct context *context, uint32_t qp_handle)
{
	uint8_t *page = context->doorbell;
	uint64_t *qp_bits = (uint64_t *)(page + DOORBELL_QP_BITS);
	uint64_t *summary = (uint64_t *)(page + DOORBELL_SUMMARY);
	uint32_t word = qp_handle / 64;
	uint64_t bit = UINT64_C(1) << (qp_handle % 64);

	if (unlikely(context->dead || !page))
		return EIO;
	if (unlikely(qp_handle >= HANDLES_MAX ||
		     (!context->objects.qp[qp_handle].can_send && !context->forked)))
		return EINVAL;

	/*
	 * The QP first, then where to find it, then whether anybody looks. If it
	 * rang before and was not looked at yet, whoever rang first sees to the
	 * rest; but where another process may have, it can have died over that.
	 */
	if ((__atomic_fetch_or(&qp_bits[word], bit, __ATOMIC_SEQ_CST) & bit) && likely(!context->forked))
		return 0;
	__atomic_fetch_or(&summary[word / 64], UINT64_C(1) << (word % 64), __ATOMIC_SEQ_CST);
	if (__atomic_load_n((uint32_t *)(page + DOORBELL_POLL), __ATOMIC_SEQ_CST) == 0)
		doorbell_wake(context);
	return 0;
}

int doorbell_arm(struct context *context, uint32_t cq_handle, bool solicited_only)
{
	uint32_t *arm = (uint32_t *)(context->doorbell + DOORBELL_CQ_ARM);
	uint32_t not_armed = 0;

	if (unlikely(context->dead || !context->doorbell))
		return EIO;
	if (unlikely(!objects_has_cq(&context->objects, cq_handle)))
		return EINVAL;
	if (solicited_only)
		__atomic_compare_exchange_n(&arm[cq_handle], &not_armed, 1, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	else
		__atomic_store_n(&arm[cq_handle], 2, __ATOMIC_SEQ_CST);
	return 0;
}
