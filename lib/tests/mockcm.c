#define _GNU_SOURCE
#include "mockcm.h"

#include "mock.h"

#include <errno.h>
#include <poll.h>
#include <rdma/rdma_user_cm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHECK(x) do { if (!(x)) { perror(#x); exit(1); } } while (0)

enum { CHANNELS_MAX = 16384, EVENTS_MAX = 64 };

/* Events have numbers from 1, in the order of their posting, on any channel. */
struct channel {
	uint64_t inode;
	int fd;				/* the router's end; 0: none */
	uint32_t ids, waiting;
	uint64_t events[EVENTS_MAX];
	int64_t due;			/* when to post one, in ms; 0: never */
};

static struct channel channels[CHANNELS_MAX];
static int ceiling;			/* no channel at or above this index */
static uint64_t last_event;
static uint32_t stray;

/* What MOCK_CM_LAST answers with. */
static uint8_t last[128 * 1024];
static uint32_t last_length;

/* As the library writes it: see docs/abi.md. */
struct header { uint64_t inode, aux; uint32_t command_length, data_length; };

static int64_t milliseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

static bool is_open(struct channel *channel)
{
	struct pollfd polled = { channel->fd, POLLIN, 0 };
	char bytes[4096];

	if (!channel->fd)
		return false;
	CHECK(poll(&polled, 1, 0) >= 0);
	if (polled.revents & POLLIN && recv(channel->fd, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		stray++;
	if (!(polled.revents & POLLHUP))
		return true;
	close(channel->fd);
	*channel = (struct channel){ 0 };
	return false;
}

int mockcm_open(uint64_t *inode, int *program_end)
{
	struct channel *channel = channels;
	struct stat status;
	int pair[2];

	while (channel < channels + CHANNELS_MAX && channel->fd)
		channel++;
	if (channel == channels + CHANNELS_MAX)
		return EMFILE;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
		return errno;
	CHECK(fstat(pair[1], &status) == 0);
	*channel = (struct channel){ .inode = status.st_ino, .fd = pair[0] };
	if (channel - channels >= ceiling)
		ceiling = (int)(channel - channels) + 1;
	*inode = status.st_ino;
	*program_end = pair[1];
	return 0;
}

static struct channel *find(uint64_t inode)
{
	for (int i = 0; i < ceiling; i++)
		if (channels[i].fd && channels[i].inode == inode)
			return &channels[i];
	return NULL;
}

static void send_token(struct channel *channel)
{
	CHECK(send(channel->fd, "", 1, MSG_DONTWAIT | MSG_NOSIGNAL) == 1 || errno == EPIPE);
}

static void post(struct channel *channel)
{
	CHECK(channel->waiting < EVENTS_MAX);
	channel->events[channel->waiting++] = ++last_event;
	send_token(channel);
}

/* Takes the first n events off. */
static uint32_t take(struct channel *channel, uint32_t n)
{
	if (n > channel->waiting)
		n = channel->waiting;
	channel->waiting -= n;
	memmove(channel->events, channel->events + n, channel->waiting * sizeof(*channel->events));
	return n;
}

int mockcm_tick(void)
{
	int64_t now = milliseconds(), next = 0;

	for (int i = 0; i < ceiling; i++) {
		struct channel *channel = &channels[i];

		if (!channel->due)
			continue;
		if (channel->due <= now) {
			channel->due = 0;
			post(channel);
		} else if (!next || channel->due < next) {
			next = channel->due;
		}
	}
	return next ? (int)(next - now) : -1;
}

static void respond(struct mockcm_answer *answer, const void *bytes, size_t length)
{
	memcpy(answer->bytes + answer->length, bytes, length);
	answer->length += (uint32_t)length;
}

static void stats(struct channel *channel, struct mockcm_answer *answer)
{
	struct mock_cm_stats s = {
		.connections = answer->connections, .waiting = channel->waiting, .pid = (uint32_t)getpid() };

	for (int i = 0; i < ceiling; i++)
		s.channels += is_open(&channels[i]);
	s.stray = stray;
	respond(answer, &s, sizeof(s));
}

static int query(struct channel *channel, const struct rdma_ucm_query *q, struct mockcm_answer *answer)
{
	switch (q->option) {
	case MOCK_CM_LAST:
		respond(answer, last, last_length);
		break;
	case MOCK_CM_POST:
		for (uint32_t i = 0; i < q->id; i++)
			post(channel);
		break;
	case MOCK_CM_POST_LATER:
		channel->due = milliseconds() + q->id;
		break;
	case MOCK_CM_FALSE_TOKEN:
		send_token(channel);
		break;
	case MOCK_CM_LONG:
		memset(answer->bytes, 0x5a, 1000);
		answer->length = 1000;
		break;
	case MOCK_CM_STATS:
		stats(channel, answer);
		break;
	case MOCK_CM_SLOW:
		usleep(q->id);
		respond(answer, &q->id, sizeof(q->id));
		break;
	case MOCK_CM_DIE_NEXT:
		answer->die_next = true;
		break;
	default:
		return EINVAL;
	}
	return 0;
}

static int get_event(struct channel *channel, struct mockcm_answer *answer)
{
	struct rdma_ucm_event_resp event = { .event = 9 };

	if (!channel->waiting)
		return EAGAIN;
	event.uid = channel->events[0];
	take(channel, 1);
	respond(answer, &event, sizeof(event));
	return 0;
}

static int destroy(struct channel *channel, const struct rdma_ucm_destroy_id *q, struct mockcm_answer *answer)
{
	answer->tokens = take(channel, q->id);
	respond(answer, &answer->tokens, sizeof(answer->tokens));
	return 0;
}

static int migrate(struct channel *to, struct channel *from, const struct rdma_ucm_migrate_id *q,
		   struct mockcm_answer *answer)
{
	if (!from)
		return EBADF;
	for (uint32_t i = 0; i < q->id && i < from->waiting; i++) {
		to->events[to->waiting++] = from->events[i];
		send_token(to);
	}
	answer->tokens = take(from, q->id);
	respond(answer, &answer->tokens, sizeof(answer->tokens));
	return 0;
}

static int run(struct channel *channel, uint64_t aux, const uint8_t *command, struct mockcm_answer *answer)
{
	const void *q = command + sizeof(struct rdma_ucm_cmd_hdr);

	switch (*(const uint32_t *)command) {
	case RDMA_USER_CM_CMD_CREATE_ID:
		channel->ids++;
		respond(answer, &channel->ids, sizeof(channel->ids));
		return 0;
	case RDMA_USER_CM_CMD_GET_EVENT:
		return get_event(channel, answer);
	case RDMA_USER_CM_CMD_DESTROY_ID:
		return destroy(channel, q, answer);
	case RDMA_USER_CM_CMD_MIGRATE_ID:
		return migrate(channel, find(aux), q, answer);
	case RDMA_USER_CM_CMD_NOTIFY:
		return (int)((const struct rdma_ucm_notify *)q)->event;
	case RDMA_USER_CM_CMD_QUERY:
		return query(channel, q, answer);
	case RDMA_USER_CM_CMD_SET_OPTION:
	case RDMA_USER_CM_CMD_REJECT:
		return 0;
	default:
		return EINVAL;
	}
}

int mockcm_command(const uint8_t *body, uint32_t length, struct mockcm_answer *answer)
{
	struct header header;
	struct channel *channel;
	int error;

	if (length < sizeof(header))
		return EPROTO;
	memcpy(&header, body, sizeof(header));
	if (length != sizeof(header) + ((header.command_length + 7) & ~7u) + header.data_length)
		return EPROTO;
	channel = find(header.inode);
	if (!channel)
		return EBADF;
	error = run(channel, header.aux, body + sizeof(header), answer);
	memcpy(last, body, length);
	last_length = length;
	return error;
}
