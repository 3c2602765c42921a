/*
 * A router for the tests: speaks docs/abi.md, keeps the books a test wants to
 * read, moves no messages. One process, one loop, no mercy for errors.
 *
 *   mockrouter SOCKET
 */
#define _GNU_SOURCE
#include "mock.h"
#include "mockcm.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <rdma/rdma_user_rxe.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DIE(what) do { perror(what); exit(1); } while (0)
#define CHECK(x) do { if (!(x)) DIE(#x); } while (0)

enum { CONNECTIONS_MAX = 256, CONTEXTS_MAX = 64, MRS_MAX = 4096, CQS_MAX = 1024, CHANNELS_MAX = 64 };
enum { WORKERS = 2, MEMORY_PAGES = 1 << 21 };

#define RINGS_SIZE	(256ull << 20)
#define MEMORY_SIZE	((uint64_t)MEMORY_PAGES * 4096)
#define DOORBELL_SIZE	(0x4000 + 4 * 65536)
#define EXTENTS_MAX	8192

struct extent { uint64_t va, length, offset; };

struct mr {
	bool live;
	pid_t pid;
	uint64_t start, length;
	struct extent *extents;
	uint32_t nextents;
};

struct mock_context {
	bool live;
	int users;
	uint64_t id;
	int rings, memory, doorbell, wake[WORKERS];
	uint8_t *rings_map, *bells;
	uint64_t rings_next;
	uint8_t *allocated;		/* a byte a page of the memory file */
	uint64_t bytes_allocated, memory_next;
	struct mr mr[MRS_MAX];
	struct { bool live; uint64_t handle; int channel; } cq[CQS_MAX];
	struct { ino_t inode; int fd; } channel[CHANNELS_MAX];
	int nchannels, async;
	uint32_t next_handle;
	uint64_t unshares, joins;
	bool fail_alloc;
};

struct connection { int fd; struct mock_context *context; pid_t pid; };

static struct connection connections[CONNECTIONS_MAX];
static int nconnections;
static struct mock_context contexts[CONTEXTS_MAX];
static bool die_next;

struct request { uint32_t op, length; uint64_t seq; uint8_t body[128 * 1024]; } __attribute__((packed));
struct reply { uint32_t op, length; int32_t error; uint32_t seq; uint8_t body[64 * 1024]; } __attribute__((packed));

static struct request request;
static struct reply reply;
static int reply_fds[64], nreply_fds;
static bool close_after[64];

static void add_fd(int fd, bool close_it)
{
	close_after[nreply_fds] = close_it;
	reply_fds[nreply_fds++] = fd;
}

static int make_memory(const char *name, uint64_t size)
{
	int fd = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);

	CHECK(fd >= 0 && ftruncate(fd, (off_t)size) == 0);
	CHECK(fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW) == 0);
	return fd;
}

static struct mock_context *new_context(void)
{
	static uint64_t ids = 100;
	struct mock_context *c = contexts;

	while (c->live)
		c++;
	CHECK(c < contexts + CONTEXTS_MAX);
	memset(c, 0, sizeof(*c));
	c->live = true;
	c->id = ids++;
	c->rings = make_memory("rings", RINGS_SIZE);
	c->memory = make_memory("memory", MEMORY_SIZE);
	c->doorbell = make_memory("doorbell", DOORBELL_SIZE);
	c->rings_map = mmap(NULL, RINGS_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, c->rings, 0);
	c->bells = mmap(NULL, DOORBELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, c->doorbell, 0);
	c->allocated = calloc(1, MEMORY_PAGES);
	CHECK(c->rings_map != MAP_FAILED && c->bells != MAP_FAILED && c->allocated);
	((uint32_t *)c->bells)[0] = 0x42444646;
	((uint32_t *)c->bells)[1] = 1;
	for (int i = 0; i < WORKERS; i++)
		CHECK((c->wake[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) >= 0);
	c->async = -1;
	c->rings_next = 1 << 20;
	c->next_handle = 1;
	return c;
}

static void free_context(struct mock_context *c)
{
	munmap(c->rings_map, RINGS_SIZE);
	munmap(c->bells, DOORBELL_SIZE);
	free(c->allocated);
	close(c->rings);
	close(c->memory);
	close(c->doorbell);
	for (int i = 0; i < WORKERS; i++)
		close(c->wake[i]);
	for (int i = 0; i < c->nchannels; i++)
		close(c->channel[i].fd);
	if (c->async >= 0)
		close(c->async);
	for (int i = 0; i < MRS_MAX; i++)
		free(c->mr[i].extents);
	c->live = false;
}

static void describe(struct mock_context *c)
{
	long ncpu = sysconf(_SC_NPROCESSORS_CONF);
	uint32_t *w = (uint32_t *)reply.body;
	uint64_t *q = (uint64_t *)reply.body;
	struct stat st;

	CHECK(fstat(c->rings, &st) == 0);
	memset(reply.body, 0, 64);
	w[0] = 1;
	w[1] = WORKERS;
	q[1] = c->id;
	memset(reply.body + 16, (int)c->id, 16);
	q[4] = st.st_dev;
	q[5] = st.st_ino;
	q[6] = DOORBELL_SIZE;
	w[14] = (uint32_t)ncpu;
	for (long i = 0; i < ncpu; i++)
		reply.body[64 + i] = (uint8_t)(i % WORKERS);
	reply.length = 64 + (uint32_t)ncpu;
}

static int op_open(struct connection *connection)
{
	struct mock_context *c;

	if (*(uint32_t *)request.body != 1)
		return EPROTONOSUPPORT;
	c = connection->context = new_context();
	c->users = 1;
	describe(c);
	add_fd(c->rings, false);
	add_fd(c->memory, false);
	add_fd(c->doorbell, false);
	for (int i = 0; i < WORKERS; i++)
		add_fd(c->wake[i], false);
	return 0;
}

static int op_join(struct connection *connection)
{
	uint64_t id = *(uint64_t *)(request.body + 8);

	for (struct mock_context *c = contexts; c < contexts + CONTEXTS_MAX; c++) {
		if (!c->live || c->id != id)
			continue;
		for (int i = 0; i < 16; i++)
			if (request.body[16 + i] != (uint8_t)id)
				return EACCES;
		connection->context = c;
		c->users++;
		c->joins++;
		describe(c);
		return 0;
	}
	return ENOENT;
}

static struct mminfo make_queue(struct mock_context *c, uint32_t slots, uint32_t log2_size)
{
	struct mminfo info = { .offset = c->rings_next };
	struct rxe_queue_buf *queue = (struct rxe_queue_buf *)(c->rings_map + c->rings_next);

	info.size = (uint32_t)((sizeof(*queue) + ((uint64_t)slots << log2_size) + 4095) & ~4095ull);
	c->rings_next += info.size;
	queue->log2_elem_size = log2_size;
	queue->index_mask = slots - 1;
	return info;
}

static void answer(const void *bytes, size_t length)
{
	memcpy(reply.body + reply.length, bytes, length);
	reply.length += (uint32_t)length;
}

static void answer_u32(uint32_t value)
{
	answer(&value, sizeof(value));
}

static uint8_t *find_extent(struct mock_context *c, struct mr *mr, uint64_t va)
{
	for (uint32_t i = 0; i < mr->nextents; i++) {
		struct extent *e = &mr->extents[i];
		uint8_t *map;

		if (va < e->va || va >= e->va + e->length)
			continue;
		map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, c->memory,
			   (off_t)((e->offset + (va - e->va)) & ~4095ull));
		CHECK(map != MAP_FAILED);
		return map + (va & 4095);
	}
	return NULL;
}

static uint64_t access_memory(struct mock_context *c, uint64_t *a, bool store)
{
	struct mr *mr = &c->mr[a[0] % MRS_MAX];
	uint8_t *at = find_extent(c, mr, a[1]);
	char path[64];
	uint8_t byte = (uint8_t)a[2];
	int fd;

	if (at) {
		if (store)
			__atomic_store_n(at, byte, __ATOMIC_SEQ_CST);
		byte = *at;
		munmap(at - (a[1] & 4095), 4096);
		a[0] = byte;
		return 1;
	}
	snprintf(path, sizeof(path), "/proc/%d/mem", mr->pid);
	fd = open(path, O_RDWR | O_CLOEXEC);
	CHECK(fd >= 0);
	if (store)
		CHECK(pwrite(fd, &byte, 1, (off_t)a[1]) == 1);
	else
		CHECK(pread(fd, &byte, 1, (off_t)a[1]) == 1);
	close(fd);
	a[0] = byte;
	return 0;
}

static int send_event(struct mock_context *c, uint64_t handle)
{
	struct ib_uverbs_comp_event_desc event = { .cq_handle = c->cq[handle % CQS_MAX].handle };

	if (c->cq[handle % CQS_MAX].channel < 0)
		return EINVAL;
	return send(c->cq[handle % CQS_MAX].channel, &event, sizeof(event), MSG_DONTWAIT) < 0 ? errno : 0;
}

static int mock_command(struct mock_context *c, uint32_t number, uint64_t *a)
{
	struct mock_response r = { { 0 } };
	int error = 0;

	switch (number) {
	case MOCK_STATS:
		r = (struct mock_response){ { (uint64_t)nconnections, c->joins, c->bytes_allocated, c->unshares } };
		break;
	case MOCK_EXTENTS:
		r.value[0] = c->mr[a[0]].nextents;
		for (uint32_t i = 0; i < c->mr[a[0]].nextents; i++)
			r.value[1] += c->mr[a[0]].extents[i].length;
		break;
	case MOCK_PEEK:
	case MOCK_POKE:
		r.value[1] = access_memory(c, a, number == MOCK_POKE);
		r.value[0] = a[0];
		break;
	case MOCK_EVENT:
		error = send_event(c, a[0]);
		break;
	case MOCK_BELLS:
		for (int i = 0; i < WORKERS; i++) {
			uint64_t n = 0;

			if (read(c->wake[i], &n, sizeof(n)) == sizeof(n))
				r.value[2] += n;
		}
		r.value[0] = __atomic_exchange_n((uint64_t *)(c->bells + 0x1000), 0, __ATOMIC_SEQ_CST);
		r.value[1] = __atomic_exchange_n((uint64_t *)(c->bells + 0x80), 0, __ATOMIC_SEQ_CST);
		break;
	case MOCK_ARMED:
		r.value[0] = ((uint32_t *)(c->bells + 0x4000))[a[0]];
		break;
	case MOCK_FAIL_ALLOC:
		c->fail_alloc = a[0];
		break;
	case MOCK_LONG:
		memset(reply.body, 0x5a, 4096);
		reply.length = 4096;
		return 0;
	case MOCK_EXTRA_FDS:
		for (int i = 0; i < 20; i++)
			add_fd(open("/dev/null", O_RDONLY | O_CLOEXEC), true);
		break;
	case MOCK_POLL:
		*(uint32_t *)(c->bells + 0x40) = (uint32_t)a[0];
		break;
	case MOCK_DIE_NEXT:
		die_next = true;
		break;
	case MOCK_SLOW:
		usleep((useconds_t)a[0]);
		r.value[0] = a[1];
		break;
	case MOCK_PID:
		r.value[0] = (uint64_t)getpid();
		break;
	default:
		return EOPNOTSUPP;
	}
	answer(&r, sizeof(r));
	return error;
}

static int new_channel(struct mock_context *c, bool async)
{
	int pair[2];
	struct stat st;

	CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) == 0);
	CHECK(fstat(pair[1], &st) == 0);
	add_fd(pair[1], true);
	if (async) {
		c->async = pair[0];
	} else {
		CHECK(c->nchannels < CHANNELS_MAX);
		c->channel[c->nchannels].fd = pair[0];
		c->channel[c->nchannels++].inode = st.st_ino;
	}
	return 0;
}

static int reg_mr(struct mock_context *c, const struct ib_uverbs_reg_mr *m,
		  const struct extent *extents, uint32_t nextents, pid_t pid)
{
	uint32_t handle = c->next_handle++ % MRS_MAX;
	struct mr *mr = &c->mr[handle];

	if (m->pd_handle == 0xbad)
		return EINVAL;
	for (uint32_t i = 0; i < nextents; i++) {
		for (uint64_t p = 0; p < extents[i].length; p += 4096)
			if (!c->allocated[(extents[i].offset + p) / 4096])
				return ENXIO;
		if (extents[i].va < m->start || extents[i].va + extents[i].length > m->start + m->length)
			return ENXIO;
	}
	free(mr->extents);
	*mr = (struct mr){ true, pid, m->start, m->length, calloc(nextents + 1, sizeof(*extents)), nextents };
	memcpy(mr->extents, extents, nextents * sizeof(*extents));
	answer_u32(handle);
	answer_u32(handle << 8);
	answer_u32(handle << 8);
	return 0;
}

static int create_cq(struct mock_context *c, uint64_t user_handle, uint32_t cqe, uint64_t inode)
{
	uint32_t handle = c->next_handle++ % CQS_MAX, slots = 2;
	struct mminfo info;

	while (slots <= cqe)
		slots *= 2;
	c->cq[handle].live = true;
	c->cq[handle].handle = user_handle;
	c->cq[handle].channel = -1;
	for (int i = 0; i < c->nchannels; i++)
		if (c->channel[i].inode == inode && inode)
			c->cq[handle].channel = c->channel[i].fd;
	if (inode && c->cq[handle].channel < 0)
		return EINVAL;
	info = make_queue(c, slots, 6);
	answer_u32(handle);
	answer_u32(slots - 1);
	if (request.body[16 + 3] & 0x80)
		answer("\0\0\0\0\x10\0\0\0", 8);
	answer(&info, sizeof(info));
	return 0;
}

static int create_qp(struct mock_context *c, const struct ib_uverbs_ex_create_qp *q, bool extended)
{
	uint32_t handle = c->next_handle++;
	struct ib_uverbs_create_qp_resp core = {
		.qp_handle = handle, .qpn = handle + 1000, .max_send_wr = 15, .max_recv_wr = 15,
	};
	struct mminfo rq = { 0 }, sq;

	if (!q->is_srq)
		rq = make_queue(c, 16, 6);
	sq = make_queue(c, 16, 8);
	answer(&core, sizeof(core));
	if (extended)
		answer("\0\0\0\0\x28\0\0\0", 8);
	answer(&rq, sizeof(rq));
	answer(&sq, sizeof(sq));
	return 0;
}

static int create_srq(struct mock_context *c)
{
	struct ib_uverbs_create_srq_resp core = { .srq_handle = c->next_handle++, .max_wr = 15, .max_sge = 1 };
	struct mminfo info = make_queue(c, 16, 6);

	answer(&core, sizeof(core));
	answer(&info, sizeof(info));
	answer("\1\0\0\0\0\0\0\0", 8);
	return 0;
}

static int uverbs(struct mock_context *c, const uint8_t *command, uint32_t number, bool extended,
		  uint64_t aux, uint32_t nextents, uint32_t length, pid_t pid)
{
	const uint8_t *core = command + (extended ? 24 : 8);
	struct mminfo info;

	switch (number) {
	case IB_USER_VERBS_CMD_GET_CONTEXT:
		answer_u32(0xffffffff);
		answer_u32(1);
		return new_channel(c, true);
	case IB_USER_VERBS_CMD_CREATE_COMP_CHANNEL:
		answer_u32(0xffffffff);
		return new_channel(c, false);
	case IB_USER_VERBS_CMD_ALLOC_PD:
		answer_u32(c->next_handle++);
		return 0;
	case IB_USER_VERBS_CMD_REG_MR:
		return reg_mr(c, (const void *)core, (const void *)(command + ((length + 7) & ~7u)), nextents, pid);
	case IB_USER_VERBS_CMD_DEREG_MR: {
		struct mr *mr = &c->mr[*(const uint32_t *)core % MRS_MAX];

		if (!mr->live)
			return EINVAL;
		mr->live = false;
		mr->nextents = 0;
		return 0;
	}
	case IB_USER_VERBS_CMD_CREATE_CQ: {
		const struct ib_uverbs_ex_create_cq *q = (const void *)(core + (extended ? 0 : 8));

		return create_cq(c, q->user_handle, q->cqe, aux);
	}
	case IB_USER_VERBS_CMD_RESIZE_CQ:
		info = make_queue(c, 64, 6);
		answer("\x3f\0\0\0\0\0\0\0", 8);
		answer(&info, sizeof(info));
		return 0;
	case IB_USER_VERBS_CMD_CREATE_QP:
		return create_qp(c, (const void *)(core + (extended ? 0 : 8)), extended);
	case IB_USER_VERBS_CMD_CREATE_SRQ:
		return create_srq(c);
	case IB_USER_VERBS_CMD_MODIFY_SRQ:
		info = make_queue(c, 32, 6);
		answer(&info, sizeof(info));
		return 0;
	case IB_USER_VERBS_CMD_DEALLOC_PD:
	case IB_USER_VERBS_CMD_MODIFY_QP:
		return 0;
	case IB_USER_VERBS_CMD_DESTROY_CQ:
	case IB_USER_VERBS_CMD_DESTROY_QP:
	case IB_USER_VERBS_CMD_DESTROY_SRQ:
		answer("\0\0\0\0\0\0\0\0", 8);
		return 0;
	case IB_USER_VERBS_CMD_REQ_NOTIFY_CQ:
		return ENXIO;		/* must not come here */
	default:
		return mock_command(c, number, (uint64_t *)(uintptr_t)(core + 8));
	}
}

static int op_command(struct connection *connection)
{
	uint64_t aux = *(uint64_t *)request.body;
	uint32_t length = *(uint32_t *)(request.body + 8), nextents = *(uint32_t *)(request.body + 12);
	const uint8_t *command = request.body + 16;
	uint32_t word = *(const uint32_t *)command;

	if (16 + ((length + 7) & ~7u) + nextents * sizeof(struct extent) != request.length)
		return EPROTO;
	return uverbs(connection->context, command, word & 0xff, word >> 31, aux, nextents, length, connection->pid);
}

static int op_mem_alloc(struct mock_context *c)
{
	uint64_t length = *(uint64_t *)request.body, pages = length / 4096;

	if (c->fail_alloc || c->memory_next + pages > MEMORY_PAGES)
		return ENOMEM;
	memset(c->allocated + c->memory_next, 1, pages);
	*(uint64_t *)reply.body = c->memory_next * 4096;
	reply.length = 8;
	c->memory_next += pages;
	c->bytes_allocated += length;
	return 0;
}

static int op_mem_free(struct mock_context *c)
{
	uint64_t offset = ((uint64_t *)request.body)[0], length = ((uint64_t *)request.body)[1];

	for (uint64_t p = offset / 4096; p < (offset + length) / 4096; p++)
		if (!c->allocated[p])
			return EINVAL;
	for (int i = 0; i < MRS_MAX; i++)
		for (uint32_t e = 0; e < c->mr[i].nextents; e++)
			if (c->mr[i].extents[e].offset < offset + length &&
			    c->mr[i].extents[e].offset + c->mr[i].extents[e].length > offset)
				return EBUSY;
	memset(c->allocated + offset / 4096, 0, length / 4096);
	CHECK(fallocate(c->memory, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) == 0);
	c->bytes_allocated -= length;
	return 0;
}

static int op_unshare(struct mock_context *c, pid_t pid)
{
	uint64_t va = ((uint64_t *)request.body)[0], length = ((uint64_t *)request.body)[1];

	c->unshares++;
	for (int i = 0; i < MRS_MAX; i++) {
		struct mr *mr = &c->mr[i];

		for (uint32_t e = 0; mr->pid == pid && e < mr->nextents; e++)
			if (mr->extents[e].va < va + length && mr->extents[e].va + mr->extents[e].length > va)
				mr->extents[e--] = mr->extents[--mr->nextents];
	}
	return 0;
}

static int op_open_cm(void)
{
	uint64_t inode;
	int error, fd;

	if (request.length != 8 || *(uint32_t *)request.body != 1)
		return EPROTONOSUPPORT;
	error = mockcm_open(&inode, &fd);
	if (error)
		return error;
	answer(&inode, sizeof(inode));
	add_fd(fd, true);
	return 0;
}

static int op_cm_command(void)
{
	struct mockcm_answer cm = { .bytes = reply.body + 8, .connections = (uint32_t)nconnections };
	int error = mockcm_command(request.body, request.length, &cm);

	die_next |= cm.die_next;
	((uint32_t *)reply.body)[0] = cm.tokens;
	((uint32_t *)reply.body)[1] = 0;
	reply.length = 8 + cm.length;
	return error;
}

static int dispatch(struct connection *connection)
{
	if (request.op == 1)
		return op_open(connection);
	if (request.op == 2)
		return op_join(connection);
	if (request.op == 8)
		return op_open_cm();
	if (request.op == 9)
		return op_cm_command();
	if (!connection->context)
		return EPROTO;
	switch (request.op) {
	case 3: return op_command(connection);
	case 4: return op_mem_alloc(connection->context);
	case 5: return op_mem_free(connection->context);
	case 6: return op_unshare(connection->context, connection->pid);
	default: return EOPNOTSUPP;
	}
}

static void send_reply(int fd)
{
	union { struct cmsghdr align; char bytes[CMSG_SPACE(64 * sizeof(int))]; } control;
	struct iovec part = { &reply, 16 + reply.length };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };

	if (nreply_fds) {
		memset(&control, 0, sizeof(control));
		message.msg_control = &control;
		message.msg_controllen = CMSG_SPACE((size_t)nreply_fds * sizeof(int));
		control.align.cmsg_len = CMSG_LEN((size_t)nreply_fds * sizeof(int));
		control.align.cmsg_level = SOL_SOCKET;
		control.align.cmsg_type = SCM_RIGHTS;
		memcpy(CMSG_DATA(&control.align), reply_fds, (size_t)nreply_fds * sizeof(int));
	}
	sendmsg(fd, &message, MSG_NOSIGNAL);
	for (int i = 0; i < nreply_fds; i++)
		if (close_after[i])
			close(reply_fds[i]);
}

/* False if the connection ended. */
static bool serve(struct connection *connection)
{
	ssize_t n = recv(connection->fd, &request, sizeof(request), 0);

	if (n < 16 || request.length != (size_t)n - 16)
		return false;
	if (die_next)
		kill(getpid(), SIGKILL);
	reply.op = request.op;
	reply.seq = (uint32_t)request.seq;
	reply.length = 0;
	nreply_fds = 0;
	reply.error = dispatch(connection);
	if (reply.error)
		reply.length = 0;
	send_reply(connection->fd);
	return true;
}

static void welcome(int listener)
{
	struct ucred peer;
	socklen_t length = sizeof(peer);
	int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);

	CHECK(fd >= 0 && nconnections < CONNECTIONS_MAX);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &length) == 0);
	connections[nconnections++] = (struct connection){ fd, NULL, peer.pid };
}

static void hang_up(int i)
{
	struct mock_context *c = connections[i].context;

	close(connections[i].fd);
	connections[i] = connections[--nconnections];
	if (c && --c->users == 0)
		free_context(c);
}

static void lift_limit(void)
{
	struct rlimit limit;

	CHECK(getrlimit(RLIMIT_NOFILE, &limit) == 0);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);

	CHECK(argc == 2);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	lift_limit();
	/* The name appears once connections are welcome. */
	snprintf(address.sun_path, sizeof(address.sun_path), "%s.new", argv[1]);
	CHECK(bind(listener, (struct sockaddr *)&address, sizeof(address)) == 0 && listen(listener, 64) == 0);
	CHECK(rename(address.sun_path, argv[1]) == 0);
	for (;;) {
		struct pollfd polled[CONNECTIONS_MAX + 1] = { { listener, POLLIN, 0 } };
		int n = nconnections;

		for (int i = 0; i < n; i++)
			polled[i + 1] = (struct pollfd){ connections[i].fd, POLLIN, 0 };
		CHECK(poll(polled, (nfds_t)n + 1, mockcm_tick()) >= 0);
		for (int i = n; i-- > 0;)
			if (polled[i + 1].revents && !serve(&connections[i]))
				hang_up(i);
		if (polled[0].revents)
			welcome(listener);
	}
}
