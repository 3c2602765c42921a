#include "maps.h"

#include "real.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

size_t page_size = 4096;

/* linux/fs.h has these from 6.11 on. */
struct map_query {
	uint64_t size, flags, address;
	uint64_t start, end, vma_flags, vma_page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

#define MAP_QUERY		_IOWR('f', 17, struct map_query)
#define QUERY_READABLE		0x01
#define QUERY_WRITABLE		0x02
#define QUERY_EXECUTABLE	0x04
#define QUERY_SHARED		0x08
#define QUERY_OR_NEXT		0x10

static int query(int fd, uintptr_t address, struct mapping *mapping)
{
	char name[256] = "";
	struct map_query q = {
		.size = sizeof(q), .flags = QUERY_OR_NEXT, .address = address,
		.name_size = sizeof(name), .name = (uintptr_t)name,
	};

	if (LIBC(ioctl)(fd, MAP_QUERY, &q) != 0) {
		/* A name longer than the room: that of a file. */
		if (errno != ENAMETOOLONG && errno != E2BIG)
			return errno;
		q.name_size = 0;
		q.name = 0;
		if (LIBC(ioctl)(fd, MAP_QUERY, &q) != 0)
			return errno;
		strcpy(name, "/");
	} else if (q.name_size == 0) {
		name[0] = '\0';
	}
	*mapping = (struct mapping){
		.start = q.start, .end = q.end,
		.readable = q.vma_flags & QUERY_READABLE,
		.writable = q.vma_flags & QUERY_WRITABLE,
		.executable = q.vma_flags & QUERY_EXECUTABLE,
		.shared = q.vma_flags & QUERY_SHARED,
		.offset = q.offset,
		.device = makedev(q.major, q.minor),
		.inode = q.inode,
	};
	memcpy(mapping->name, name, sizeof(mapping->name) - 1);
	return 0;
}

static int grow(struct maps *maps)
{
	size_t room = maps->room ? maps->room * 2 : 256 * 1024;
	char *text = mmap(NULL, room, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (text == MAP_FAILED)
		return ENOMEM;
	if (maps->text) {
		memcpy(text, maps->text, maps->length);
		REAL(munmap)(maps->text, maps->room);
	}
	maps->text = text;
	maps->room = room;
	return 0;
}

static int read_text(struct maps *maps)
{
	for (;;) {
		ssize_t n;

		if (maps->room - maps->length < 2) {
			int error = grow(maps);

			if (error)
				return error;
		}
		n = LIBC(read)(maps->fd, maps->text + maps->length, maps->room - maps->length - 1);
		if (n < 0)
			return errno;
		if (n == 0)
			break;
		maps->length += (size_t)n;
	}
	maps->text[maps->length] = '\0';
	maps->next = maps->text;
	return 0;
}

int maps_open(struct maps *maps)
{
	struct mapping probe;
	int error;

	memset(maps, 0, sizeof(*maps));
	maps->fd = REAL(openat)(AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
	if (maps->fd < 0)
		return errno;
	error = query(maps->fd, (uintptr_t)&probe, &probe);
	if (error == ENOTTY || error == EINVAL)
		error = read_text(maps);
	if (error)
		maps_close(maps);
	return error;
}

void maps_close(struct maps *maps)
{
	if (maps->text)
		REAL(munmap)(maps->text, maps->room);
	if (maps->fd >= 0)
		LIBC(close)(maps->fd);
	memset(maps, 0, sizeof(*maps));
	maps->fd = -1;
}

bool maps_parse_line(const char *line, struct mapping *mapping)
{
	unsigned long long start, end, offset, inode;
	unsigned int major_number, minor_number;
	char mode[5];
	int name = 0;
	size_t n;

	memset(mapping, 0, sizeof(*mapping));
	if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu%n", &start, &end, mode, &offset,
		   &major_number, &minor_number, &inode, &name) != 7 || strlen(mode) != 4)
		return false;
	mapping->start = start;
	mapping->end = end;
	mapping->readable = mode[0] == 'r';
	mapping->writable = mode[1] == 'w';
	mapping->executable = mode[2] == 'x';
	mapping->shared = mode[3] == 's';
	mapping->offset = offset;
	mapping->device = makedev(major_number, minor_number);
	mapping->inode = inode;
	line += name;
	while (*line == ' ')
		line++;
	n = strcspn(line, "\n");
	if (n >= sizeof(mapping->name))
		n = sizeof(mapping->name) - 1;
	memcpy(mapping->name, line, n);
	return true;
}

static bool find_in_text(struct maps *maps, uintptr_t address, struct mapping *mapping)
{
	while (*maps->next) {
		const char *line = maps->next;
		const char *end = strchr(line, '\n');

		if (!maps_parse_line(line, mapping))
			return false;
		if (mapping->end > address)
			return true;
		maps->next = end ? end + 1 : line + strlen(line);
	}
	return false;
}

bool maps_find(struct maps *maps, uintptr_t address, struct mapping *mapping)
{
	if (maps->text)
		return find_in_text(maps, address, mapping);
	return query(maps->fd, address, mapping) == 0;
}

bool mapping_is_plain(const struct mapping *mapping)
{
	static const char *const special[] = { "[stack", "[vvar", "[vdso", "[vsyscall" };

	if (!mapping->readable || !mapping->writable || mapping->shared ||
	    mapping->inode != 0 || mapping->device != 0)
		return false;
	for (size_t i = 0; i < sizeof(special) / sizeof(special[0]); i++)
		if (strncmp(mapping->name, special[i], strlen(special[i])) == 0)
			return false;
	return true;
}

/* Asked only of programs that used MADV_DONTFORK: smaps is slow to make. */
bool maps_dontfork(uintptr_t start, uintptr_t end)
{
	struct maps maps = { .fd = -1 };
	struct mapping mapping = { 0 };
	bool found = false;

	maps.fd = REAL(openat)(AT_FDCWD, "/proc/self/smaps", O_RDONLY | O_CLOEXEC);
	if (maps.fd < 0)
		return false;
	if (read_text(&maps) == 0) {
		for (char *line = maps.text, *next; line && *line && !found; line = next) {
			next = strchr(line, '\n');
			if (next)
				*next++ = '\0';
			if (strncmp(line, "VmFlags:", 8) == 0)
				found = mapping.end > start && mapping.start < end &&
					strstr(line, " dc") != NULL;
			else if (line[0] < 'A' || line[0] > 'Z')
				maps_parse_line(line, &mapping);
		}
	}
	maps_close(&maps);
	return found;
}

#define PAGE_EXISTS (UINT64_C(3) << 62)		/* present or swapped */

int pages_visit(uintptr_t start, uintptr_t end, page_run_visitor *visit, void *argument)
{
	uint64_t entries[2048];
	uintptr_t run = 0, page = start;
	int fd = REAL(openat)(AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	int result = 0;

	if (fd < 0)
		return visit(start, end, argument);	/* take all pages to exist */

	while (page < end && !result) {
		size_t want = (end - page) / page_size;
		ssize_t got;

		if (want > sizeof(entries) / sizeof(entries[0]))
			want = sizeof(entries) / sizeof(entries[0]);
		got = pread(fd, entries, want * sizeof(entries[0]),
			    (off_t)(page / page_size * sizeof(entries[0])));
		if (got < (ssize_t)sizeof(entries[0])) {
			result = EIO;
			break;
		}
		for (size_t i = 0; i < (size_t)got / sizeof(entries[0]) && !result; i++) {
			bool exists = entries[i] & PAGE_EXISTS;

			if (exists && !run)
				run = page;
			if (!exists && run) {
				result = visit(run, page, argument);
				run = 0;
			}
			page += page_size;
		}
	}
	if (run && !result)
		result = visit(run, end, argument);
	LIBC(close)(fd);
	return result;
}
