#include "context.h"

#include "cm_router.h"
#include "doorbell.h"
#include "env.h"
#include "memory.h"
#include "orphan.h"
#include "process.h"

#include <errno.h>
#include <string.h>

struct context contexts[CONTEXTS_MAX];
pthread_mutex_t contexts_lock = PTHREAD_MUTEX_INITIALIZER;

/* OPEN's and JOIN's reply. */
struct opened {
	uint32_t abi_version;
	uint32_t nworkers;
	uint64_t context_id;
	uint8_t token[16];
	uint64_t rings_device;
	uint64_t rings_inode;
	uint64_t doorbell_size;
	uint32_t ncpu;
	uint32_t reserved;
	uint8_t worker_of_cpu[];
};

_Static_assert(sizeof(struct opened) == 64, "docs/abi.md");

enum { RINGS, MEMORY, DOORBELL, WORKERS };

bool context_owns(struct context *context, int fd)
{
	struct stat status;

	if (LIBC(fstat)(fd, &status) == 0 && status.st_ino == context->rings_inode &&
	    status.st_dev == context->rings_device && context->open)
		return true;
	if (process_is_owner())
		context_drop(fd_exchange(fd, 0));
	return false;
}

void context_add(struct context *context, int fd)
{
	context->visible++;
	context_drop(fd_exchange(fd, (uint8_t)(context - contexts + 1)));
}

void contexts_lock_all(void)
{
	for (int i = 0; i < CONTEXTS_MAX; i++)
		if (contexts[i].open)
			pthread_mutex_lock(&contexts[i].lock);
}

void contexts_unlock_all(void)
{
	for (int i = CONTEXTS_MAX; i-- > 0;)
		if (contexts[i].open)
			pthread_mutex_unlock(&contexts[i].lock);
}

/* Not while a command uses the number; doorbells that do lose a wake-up. */
void context_vacate(int fd)
{
	struct guard guard;

	guard_enter(&guard);
	pthread_mutex_lock(&contexts_lock);
	contexts_lock_all();
	cm_lock();
	fd_vacate(fd);
	cm_unlock();
	contexts_unlock_all();
	pthread_mutex_unlock(&contexts_lock);
	orphan_watch();
	guard_leave(&guard);
}

static int identify(int fd, dev_t *device, ino_t *inode)
{
	struct stat status;

	if (LIBC(fstat)(fd, &status) != 0)
		return errno;
	*device = status.st_dev;
	*inode = status.st_ino;
	return 0;
}

static int map_doorbell(struct context *context, int fd, uint64_t size)
{
	struct stat status;
	uint8_t *page;

	if (size < DOORBELL_SIZE || LIBC(fstat)(fd, &status) != 0 || (uint64_t)status.st_size < DOORBELL_SIZE)
		return EPROTO;
	page = mmap(NULL, DOORBELL_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (page == MAP_FAILED)
		return errno;
	context->doorbell = page;
	return *(uint32_t *)page == DOORBELL_MAGIC ? 0 : EPROTO;
}

/* Takes what OPEN returned; the descriptors stay the caller's on failure. */
static int adopt(struct context *context, struct router_reply *reply)
{
	const struct opened *opened = reply->body;
	int error;

	if (reply->length < sizeof(*opened) || opened->abi_version != ROUTER_ABI ||
	    opened->nworkers == 0 || opened->nworkers > WORKERS_MAX ||
	    reply->nfds != (int)(WORKERS + opened->nworkers) ||
	    reply->length - sizeof(*opened) < opened->ncpu)
		return EPROTO;

	error = identify(reply->fds[RINGS], &context->rings_device, &context->rings_inode);
	if (!error)
		error = identify(reply->fds[MEMORY], &context->memory_device, &context->memory_inode);
	if (!error)
		error = map_doorbell(context, reply->fds[DOORBELL], opened->doorbell_size);
	if (error)
		return error;

	context->id = opened->context_id;
	memcpy(context->token, opened->token, sizeof(context->token));
	context->nworkers = opened->nworkers;
	memset(context->worker_of_cpu, 0, sizeof(context->worker_of_cpu));
	for (uint32_t cpu = 0; cpu < opened->ncpu && cpu < CPUS_MAX; cpu++)
		if (opened->worker_of_cpu[cpu] < opened->nworkers)
			context->worker_of_cpu[cpu] = opened->worker_of_cpu[cpu];

	context->rings_fd = reply->fds[RINGS];
	context->memory_fd = reply->fds[MEMORY];
	LIBC(close)(reply->fds[DOORBELL]);
	for (uint32_t i = 0; i < opened->nworkers; i++)
		context->wake_fd[i] = reply->fds[WORKERS + i];
	return 0;
}

static void hide_all(struct context *context)
{
	fd_hide(&context->router.fd);
	fd_hide(&context->rings_fd);
	fd_hide(&context->memory_fd);
	for (uint32_t i = 0; i < context->nworkers; i++)
		fd_hide(&context->wake_fd[i]);
}

static void release(struct context *context)
{
	if (context->router.fd >= 0)
		fd_close_hidden(&context->router.fd);
	if (context->rings_fd >= 0)
		fd_close_hidden(&context->rings_fd);
	if (context->memory_fd >= 0)
		fd_close_hidden(&context->memory_fd);
	for (uint32_t i = 0; i < context->nworkers; i++)
		fd_close_hidden(&context->wake_fd[i]);
	context->nworkers = 0;
	if (context->doorbell)
		REAL(munmap)(context->doorbell, DOORBELL_SIZE);
	context->doorbell = NULL;
	if (context->buffer)
		REAL(munmap)(context->buffer, ROUTER_DATAGRAM_MAX);
	context->buffer = NULL;
	objects_free(&context->objects);
}

static int prepare(struct context *context)
{
	void *buffer;

	context->router = (struct router){ .fd = -1 };
	context->rings_fd = context->memory_fd = -1;
	context->nworkers = 0;
	context->dead = false;
	context->forked = false;
	context->visible = 0;
	context->joining = 0;
	pthread_mutex_init(&context->lock, NULL);

	buffer = mmap(NULL, ROUTER_DATAGRAM_MAX, PROT_READ | PROT_WRITE,
		      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (buffer == MAP_FAILED)
		return ENOMEM;
	context->buffer = buffer;
	return objects_init(&context->objects);
}

/* Connects a fresh slot: 0 or an errno, with nothing left behind. */
static int establish(struct context *context)
{
	uint32_t request[2] = { ROUTER_ABI, 0 };
	struct iovec body = { request, sizeof(request) };
	struct router_reply reply = { .nfds = 0 };
	int error = prepare(context);

	if (!error) {
		error = router_connect(&context->router);
		if (error)
			error = router_refusal(error);
	}
	if (!error) {
		reply.body = context->buffer;
		reply.room = ROUTER_DATAGRAM_MAX;
		error = router_call(&context->router, ROUTER_OPEN, &body, 1, &reply);
		if (error)
			error = router_refusal(error);
		if (!error)
			error = adopt(context, &reply);
		if (!error)
			hide_all(context);
		else
			router_close_fds(&reply);
	}
	if (error) {
		if (context->router.fd >= 0)
			LIBC(close)(context->router.fd);
		context->router.fd = -1;
		release(context);
	}
	return error;
}

static struct context *free_slot(void)
{
	for (int i = 0; i < CONTEXTS_MAX; i++)
		if (!contexts[i].open && contexts[i].visible == 0)
			return &contexts[i];
	return NULL;
}

static int show(struct context *context, int flags)
{
	int fd = LIBC(fcntl)(context->rings_fd, flags & O_CLOEXEC ? F_DUPFD_CLOEXEC : F_DUPFD, 0);

	if (fd >= FD_MAX) {
		LIBC(close)(fd);
		errno = EMFILE;
		fd = -1;
	}
	if (fd >= 0)
		context_add(context, fd);
	return fd;
}

static void end(struct context *context)
{
	struct guard guard;

	guard_enter(&guard);
	memory_release_context(context);
	pthread_mutex_lock(&contexts_lock);
	pthread_mutex_lock(&context->lock);
	if (context->open) {
		context->open = false;
		release(context);
	}
	pthread_mutex_unlock(&context->lock);
	pthread_mutex_unlock(&contexts_lock);
	orphan_watch();
	guard_leave(&guard);
}

int context_open(int flags)
{
	struct context *context;
	struct guard guard;
	int fd = -1, error;

	guard_enter(&guard);
	pthread_mutex_lock(&contexts_lock);
	context = free_slot();
	error = context ? establish(context) : EMFILE;
	if (!error)
		context->open = true;
	pthread_mutex_unlock(&contexts_lock);

	if (!error) {
		fd = show(context, flags);
		if (fd < 0) {
			error = errno;
			end(context);
		} else {
			orphan_watch();
		}
	}
	guard_leave(&guard);

	if (error)
		errno = error;
	debug("open of the device: fd %d, error %d", fd, error);
	return fd;
}

void context_drop(uint8_t entry)
{
	struct context *context;

	if (entry == 0 || entry > CONTEXTS_MAX)
		return;
	context = &contexts[entry - 1];
	if (--context->visible == 0)
		end(context);
}

/* A forked child's own connection to its parent's context. */
static int join(struct context *context)
{
	struct {
		uint32_t abi_version, flags;
		uint64_t context_id;
		uint8_t token[16];
	} request = { .abi_version = ROUTER_ABI, .context_id = context->id };
	struct iovec body = { &request, sizeof(request) };
	struct router_reply reply = { .body = context->buffer, .room = ROUTER_DATAGRAM_MAX };
	struct router router = { .fd = -1 };
	int error = router_connect(&router);

	if (error)
		return EIO;
	memcpy(request.token, context->token, sizeof(request.token));
	error = router_call(&router, ROUTER_JOIN, &body, 1, &reply);
	router_close_fds(&reply);
	if (error) {
		LIBC(close)(router.fd);
		return EIO;
	}
	context->router = router;
	fd_hide(&context->router.fd);
	context->joining = 0;
	return 0;
}

int context_call(struct context *context, enum router_op op,
		 const struct iovec *body, int count, struct router_reply *reply)
{
	int error = 0;

	reply->nfds = 0;
	reply->length = 0;
	if (context->dead || !context->open)
		return EIO;
	if (unlikely(context->joining)) {
		error = join(context);
		orphan_watch_later();
	}
	if (!error)
		error = router_call(&context->router, op, body, count, reply);
	if (error == EIO && context->router.broken) {
		context->dead = true;
		orphan_watch_later();
	}
	return error;
}

void context_forked(struct context *context)
{
	pthread_mutex_init(&context->lock, NULL);
	if (!context->open)
		return;
	/* Or the parent's connection would outlive the parent. */
	if (context->router.fd >= 0)
		fd_close_hidden(&context->router.fd);
	context->joining = 1;
}
