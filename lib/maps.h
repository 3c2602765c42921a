/*
 * What is mapped where in this process: /proc/self/maps, by one question an
 * address where the kernel has PROCMAP_QUERY (6.11), from its text otherwise;
 * and which pages exist: /proc/self/pagemap. Touches no page it asks about.
 */
#ifndef FF_MAPS_H
#define FF_MAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

extern size_t page_size;

struct mapping {
	uintptr_t start, end;
	bool readable, writable, executable, shared;
	uint64_t offset;
	dev_t device;
	ino_t inode;
	char name[32];		/* cut short; "" for unnamed anonymous memory */
};

struct maps {
	int fd;
	char *text;		/* NULL: PROCMAP_QUERY works */
	size_t length, room;
	const char *next;	/* text: from here on */
};

/* 0 or an errno. */
int maps_open(struct maps *maps);
void maps_close(struct maps *maps);

/*
 * The mapping that holds address, or else the first one after it. With each
 * call the address must not be below the one before.
 */
bool maps_find(struct maps *maps, uintptr_t address, struct mapping *mapping);

/* One line of the text; false if it is none. For maps_find() and its test. */
bool maps_parse_line(const char *line, struct mapping *mapping);

/* Private anonymous memory, readable and writable, that may be replaced. */
bool mapping_is_plain(const struct mapping *mapping);

/* Whether a mapping in [start, end) was marked MADV_DONTFORK. */
bool maps_dontfork(uintptr_t start, uintptr_t end);

/*
 * Calls visit for each run of pages in [start, end) that hold something, in
 * memory or in swap, until it returns nonzero: that, or an errno, or 0.
 */
typedef int page_run_visitor(uintptr_t start, uintptr_t end, void *argument);
int pages_visit(uintptr_t start, uintptr_t end, page_run_visitor *visit, void *argument);

#endif
