#include "channel.h"

#include "cm_router.h"
#include "context.h"
#include "env.h"
#include "process.h"

#include <errno.h>
#include <string.h>

/*
 * The inode of each descriptor marked FD_CM, by its number; mapped when the
 * first channel is opened. No two sockets have the same, and all duplicates of
 * one do.
 */
static ino_t *inodes;

static int map_inodes(void)
{
	void *table;

	if (inodes)
		return 0;
	table = mmap(NULL, FD_MAX * sizeof(*inodes), PROT_READ | PROT_WRITE,
		     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	if (table == MAP_FAILED)
		return ENOMEM;
	inodes = table;
	return 0;
}

ino_t channel_inode(int fd)
{
	return inodes[fd];
}

/* 0 if fd is no socket. */
static ino_t socket_inode(int fd)
{
	struct stat status;

	return LIBC(fstat)(fd, &status) == 0 && S_ISSOCK(status.st_mode) ? status.st_ino : 0;
}

bool channel_owns(int fd)
{
	ino_t inode = socket_inode(fd);
	uint8_t entry = FD_CM;

	if (inode != 0 && inode == inodes[fd])
		return true;
	if (process_is_owner())
		__atomic_compare_exchange_n(&fd_table[fd], &entry, 0, false,
					    __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	return false;
}

/* What a raw close() closed may still be on record under the number. */
static void mark(int fd, ino_t inode)
{
	inodes[fd] = inode;
	context_drop(fd_exchange(fd, FD_CM));
}

void channel_duplicated(int from, int to)
{
	mark(to, inodes[from]);
}

static int set_flags(int fd, int flags)
{
	if (!(flags & O_CLOEXEC) && LIBC(fcntl)(fd, F_SETFD, 0) != 0)
		return errno;
	if ((flags & O_NONBLOCK) && LIBC(fcntl)(fd, F_SETFL, O_NONBLOCK) != 0)
		return errno;
	return 0;
}

/* Takes the descriptor out of OPEN_CM's reply: 0 or an errno. */
static int adopt(struct router_reply *reply, int flags, ino_t *inode)
{
	uint64_t announced;

	if (reply->nfds != 1 || reply->length < sizeof(announced))
		return EPROTO;
	if (reply->fds[0] >= FD_MAX)
		return EMFILE;
	memcpy(&announced, reply->body, sizeof(announced));
	*inode = socket_inode(reply->fds[0]);
	if (*inode == 0 || *inode != announced)
		return EPROTO;
	return set_flags(reply->fds[0], flags);
}

static int request(struct router_reply *reply)
{
	uint32_t words[2] = { ROUTER_ABI, 0 };
	struct iovec body = { words, sizeof(words) };
	int error = cm_connect();

	return error ? error : cm_call(ROUTER_OPEN_CM, &body, 1, reply);
}

static int open_locked(int flags, int *fd, ino_t *inode)
{
	struct router_reply reply = { .nfds = 0 };
	int error = map_inodes();

	if (!error)
		error = request(&reply);
	/* The connection may have been to a router that is gone. */
	if (error == EIO)
		error = request(&reply);
	if (!error)
		error = adopt(&reply, flags, inode);
	if (error)
		router_close_fds(&reply);
	else
		*fd = reply.fds[0];
	return error;
}

int channel_open(int flags)
{
	struct guard guard;
	ino_t inode = 0;
	int fd = -1, error;

	if (!process_is_owner()) {
		errno = ENODEV;
		return -1;
	}
	guard_enter(&guard);
	cm_lock();
	error = open_locked(flags, &fd, &inode);
	cm_unlock();
	if (!error)
		mark(fd, inode);
	else
		error = router_refusal(error);
	guard_leave(&guard);

	if (error)
		errno = error;
	debug("open of rdma_cm: fd %d, error %d", fd, error);
	return fd;
}

int channel_wait(int fd)
{
	char token;
	ssize_t n = LIBC(recv)(fd, &token, sizeof(token), MSG_PEEK);

	if (n > 0)
		return 0;
	return n == 0 || errno == ECONNRESET ? ENODEV : errno;
}

int channel_take_token(int fd)
{
	char token;
	ssize_t n;

	do
		n = LIBC(recv)(fd, &token, sizeof(token), MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n < 0 && errno == EAGAIN)
		return EAGAIN;
	return n > 0 ? 0 : ENODEV;
}

bool channel_is_dead(int fd)
{
	char token;

	return LIBC(recv)(fd, &token, sizeof(token), MSG_PEEK | MSG_DONTWAIT) == 0;
}
