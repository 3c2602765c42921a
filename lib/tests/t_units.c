/*
 * The parts that are pure: linked from the library's objects, without preload.
 */
#include "command.h"
#include "env.h"
#include "maps.h"
#include "paths.h"
#include "pieces.h"
#include "ucm.h"
#include "harness.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysmacros.h>

static const char *mapped(const char *path)
{
	static char buffer[PATH_MAX];

	return path_map(path, buffer);
}

static void prefixes_match_whole_components(void)
{
	static const struct { const char *path, *expected; } table[] = {
		{ "/sys/class/infiniband", "/r/sys/class/infiniband" },
		{ "/sys/class/infiniband/", "/r/sys/class/infiniband/" },
		{ "/sys/class/infiniband/rxe0/ports", "/r/sys/class/infiniband/rxe0/ports" },
		{ "//sys/./class///infiniband/x", "/r/sys/class/infiniband/x" },
		{ "/sys/class/infiniband_verbs/uverbs0", "/r/sys/class/infiniband_verbs/uverbs0" },
		{ "/sys/class/infiniband_cm", "/r/sys/class/infiniband_cm" },
		{ "/sys/class/infiniband_mad/abi_version", "/r/sys/class/infiniband_mad/abi_version" },
		{ "/sys/class/infiniband_ucma", "/r/sys/class/infiniband_ucma" },
		{ "/sys/class/misc/rdma_cm/abi_version", "/r/sys/class/misc/rdma_cm/abi_version" },
		{ "/dev/infiniband/uverbs0", "/r/dev/infiniband/uverbs0" },
		{ "/dev/char/231:192", "/r/dev/infiniband/uverbs0" },
		{ "/dev/char/10:60", "/r/dev/infiniband/rdma_cm" },
		{ "/sys/class/infinibandx", NULL },
		{ "/sys/class/infiniban", NULL },
		{ "/sys/class", NULL },
		{ "/sys/class/misc", NULL },
		{ "/dev/char/231:1920", NULL },
		{ "/dev/char/231:19", NULL },
		{ "/dev/infiniband2/uverbs0", NULL },
		{ "/dev/null", NULL },
		{ "sys/class/infiniband", NULL },
		{ "/tmp/sys/class/infiniband", NULL },
		{ "", NULL },
		{ "/", NULL },
		{ ".", NULL },
	};

	env.root = "/r";
	env.root_length = 2;
	env.real_root = "/real/root";
	env.real_root_length = strlen(env.real_root);
	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *got = mapped(table[i].path);

		if (table[i].expected ? strcmp(got, table[i].expected) != 0 : got != table[i].path) {
			note("%s -> %s", table[i].path, got);
			CHECK(false);
		}
	}
	CHECK(mapped(NULL) == NULL);

	char longest[PATH_MAX + 100] = "/sys/class/infiniband/";

	memset(longest + strlen(longest), 'x', PATH_MAX);
	longest[PATH_MAX - 1] = '\0';
	errno = 0;
	CHECK(mapped(longest) == NULL && errno == ENAMETOOLONG);
	env.root = NULL;
	CHECK(strcmp(mapped("/dev/infiniband/uverbs0"), "/dev/infiniband/uverbs0") == 0);
}

static void the_root_is_stripped(void)
{
	char path[] = "/r/sys/class", real[] = "/real/root/dev", other[] = "/rr/sys", bytes[] = "/r/abcXYZ";

	env.root = "/r";
	env.root_length = 2;
	env.real_root = "/real/root";
	env.real_root_length = strlen(env.real_root);
	path_strip(path);
	path_strip(real);
	path_strip(other);
	CHECK(strcmp(path, "/sys/class") == 0 && strcmp(real, "/dev") == 0 && strcmp(other, "/rr/sys") == 0);
	CHECK(path_strip_bytes(bytes, 6) == 4 && memcmp(bytes, "/abc", 4) == 0);
	CHECK(path_device("/r/dev/infiniband/uverbs0") == DEVICE_UVERBS);
	CHECK(path_device("/r/dev//infiniband/uverbs0") == DEVICE_UVERBS);
	CHECK(path_device("/r/dev/infiniband/rdma_cm") == DEVICE_RDMA_CM);
	CHECK(path_device("/r/dev/infiniband/uverbs00") == DEVICE_NONE && path_device("/r/dev/infiniband") == DEVICE_NONE);
	CHECK(path_device("/dev/infiniband/uverbs0") == DEVICE_NONE);
	CHECK(path_may_be_device("rdma_cm") && path_may_be_device("x/uverbs0") && !path_may_be_device("uverbs"));
	CHECK(device_number(DEVICE_RDMA_CM) == makedev(10, 60) && device_number(DEVICE_UVERBS) == makedev(231, 192));
	env.root = NULL;
}

static void maps_lines_are_read(void)
{
	struct mapping m;

	CHECK(maps_parse_line("7f0000001000-7f0000003000 rw-p 00000000 00:00 0 \n", &m));
	CHECK(m.start == 0x7f0000001000 && m.end == 0x7f0000003000 && m.writable && !m.shared);
	CHECK(m.name[0] == '\0' && mapping_is_plain(&m));
	CHECK(maps_parse_line("55d0-66d0 rw-s 00a00000 00:01 1042    /memfd:freeflow memory (deleted)\n", &m));
	CHECK(m.shared && m.offset == 0xa00000 && m.inode == 1042 && m.device == makedev(0, 1));
	CHECK(!mapping_is_plain(&m) && strncmp(m.name, "/memfd:freeflow memory", 22) == 0);
	CHECK(maps_parse_line("1000-2000 rw-p 00000000 00:00 0          [heap]\n", &m) && mapping_is_plain(&m));
	CHECK(maps_parse_line("1000-2000 rw-p 00000000 00:00 0          [stack]\n", &m) && !mapping_is_plain(&m));
	CHECK(maps_parse_line("1000-2000 r--p 00000000 00:00 0\n", &m) && !mapping_is_plain(&m));
	CHECK(maps_parse_line("1000-2000 ---p 00000000 00:00 0\n", &m) && !m.readable);
	CHECK(maps_parse_line("1000-2000 rw-p 00000000 08:01 77   /a b\n", &m) && !mapping_is_plain(&m));
	CHECK(!maps_parse_line("Size:                  4 kB\n", &m) && !maps_parse_line("", &m));
}

static int count_pages(uintptr_t start, uintptr_t end, void *argument)
{
	*(size_t *)argument += (end - start) / page_size;
	return 0;
}

static void the_kernels_list_is_read(void)
{
	size_t size = 64 * page_size, pages = 0;
	char *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct mapping m;
	struct maps maps;

	CHECK(munmap(p + 60 * page_size, 4 * page_size) == 0);
	CHECK(mprotect(p + 8 * page_size, page_size, PROT_READ) == 0);
	CHECK(maps_open(&maps) == 0);
	note("the kernel %s PROCMAP_QUERY", maps.text ? "has no" : "has");
	CHECK(maps_find(&maps, (uintptr_t)p + 8 * page_size + 5, &m));
	CHECK(m.start == (uintptr_t)p + 8 * page_size && m.end == m.start + page_size && !m.writable);
	CHECK(maps_find(&maps, (uintptr_t)p + 9 * page_size, &m) && mapping_is_plain(&m));
	CHECK(m.end == (uintptr_t)p + 60 * page_size);
	maps_close(&maps);
	p[16 * page_size] = p[17 * page_size] = p[59 * page_size] = 1;
	CHECK(pages_visit((uintptr_t)p, (uintptr_t)p + 60 * page_size, count_pages, &pages) == 0 && pages == 3);
}

/* What a kernel without PROCMAP_QUERY leaves: the text. */
static void the_text_is_searched(void)
{
	static char text[] =
		"1000-2000 r--p 00000000 08:01 77   /bin/x\n"
		"2000-3000 rw-p 00001000 08:01 77   /bin/x\n"
		"8000-a000 rw-p 00000000 00:00 0 \n";
	struct maps maps = { .fd = -1, .text = text, .length = sizeof(text) - 1, .next = text };
	struct mapping m;

	CHECK(maps_find(&maps, 0, &m) && m.start == 0x1000);
	CHECK(maps_find(&maps, 0x1fff, &m) && m.start == 0x1000);
	CHECK(maps_find(&maps, 0x2000, &m) && m.start == 0x2000 && m.offset == 0x1000);
	CHECK(maps_find(&maps, 0x3000, &m) && m.start == 0x8000 && mapping_is_plain(&m));
	CHECK(maps_find(&maps, 0x9fff, &m) && !maps_find(&maps, 0xa000, &m));
}

static struct pieces table;

static void put(uintptr_t start, uintptr_t end)
{
	struct piece piece = { .start = start, .end = end, .offset = start + 0x100000 };

	CHECK(pieces_insert(&table, &piece));
}

static void pieces_are_kept_sorted(void)
{
	CHECK(!pieces_near(&table, 0, ~0ul));
	put(0x5000, 0x7000);
	put(0x1000, 0x2000);
	put(0x9000, 0xa000);
	CHECK(table.count == 3 && table.at[0].start == 0x1000 && table.at[2].start == 0x9000);
	CHECK(pieces_after(&table, 0) == 0 && pieces_after(&table, 0x2000) == 1);
	CHECK(pieces_after(&table, 0x6fff) == 1 && pieces_after(&table, 0x7000) == 2 && pieces_after(&table, 0xa000) == 3);
	CHECK(pieces_near(&table, 0x9fff, 0x20000) && !pieces_near(&table, 0xa000, 0xb000) && !pieces_near(&table, 0, 0x1000));
	CHECK(pieces_split(&table, 0x6000) && table.count == 4);
	CHECK(table.at[1].end == 0x6000 && table.at[2].start == 0x6000 && table.at[2].offset == 0x106000);
	CHECK(pieces_split(&table, 0x6000) && pieces_split(&table, 0x3000) && pieces_split(&table, 0xf000) && table.count == 4);
	pieces_remove(&table, 0);
	CHECK(table.count == 3 && table.lowest == 0x5000 && table.highest == 0xa000);
	while (table.count)
		pieces_remove(&table, 0);
	CHECK(!pieces_near(&table, 0, ~0ul));
	for (uintptr_t i = 0; i < PIECES_MAX; i++)
		put(i * 0x2000, i * 0x2000 + 0x1000);
	CHECK(!pieces_insert(&table, &(struct piece){ .start = 1ul << 40 }) && !pieces_split(&table, 0x2800));
}

static void commands_are_parsed(void)
{
	struct { struct ib_uverbs_cmd_hdr h; struct ib_uverbs_alloc_pd c; } legacy = {
		{ IB_USER_VERBS_CMD_ALLOC_PD, sizeof(legacy) / 4, 2 }, { .response = 0x1000 } };
	struct { struct ib_uverbs_cmd_hdr h; struct ib_uverbs_ex_cmd_hdr e; struct ib_uverbs_ex_create_cq c; } ex = {
		{ IB_USER_VERBS_CMD_CREATE_CQ | IB_USER_VERBS_CMD_FLAG_EXTENDED, sizeof(ex.c) / 8, 2 },
		{ .response = 0x2000, .provider_out_words = 2 }, { .cqe = 5 } };
	struct { struct ib_uverbs_cmd_hdr h; struct ib_uverbs_dereg_mr c; } none = {
		{ IB_USER_VERBS_CMD_DEREG_MR, 3, 0 }, { 9 } };
	struct command c;

	CHECK(command_parse(&c, &legacy, sizeof(legacy)) == 0 && !c.extended && c.number == 3);
	CHECK(c.response == (void *)0x1000 && c.response_room == 8 && c.core_length == sizeof(legacy) - 8);
	CHECK(command_parse(&c, &legacy, sizeof(legacy) - 4) == EINVAL && command_parse(&c, &legacy, 7) == EINVAL);
	CHECK(command_parse(&c, &ex, sizeof(ex)) == 0 && c.extended && c.driver_offset == 16 && c.response_room == 32);
	CHECK(((const struct ib_uverbs_ex_create_cq *)c.core)->cqe == 5);
	ex.e.cmd_hdr_reserved = 1;
	CHECK(command_parse(&c, &ex, sizeof(ex)) == EINVAL);
	CHECK(command_parse(&c, &none, sizeof(none)) == 0 && c.response == NULL);
	legacy.h.command |= 0x40000000;
	CHECK(command_parse(&c, &legacy, sizeof(legacy)) == EINVAL);
}

/* Each kind of command: where its response goes, and what else is in it. */
static void cm_commands_are_parsed(void)
{
	static const struct { uint32_t number; size_t length, response; } table[] = {
		{ RDMA_USER_CM_CMD_CREATE_ID, 24, 8 }, { RDMA_USER_CM_CMD_DESTROY_ID, 16, 0 },
		{ RDMA_USER_CM_CMD_QUERY_ROUTE, 16, 0 }, { RDMA_USER_CM_CMD_INIT_QP_ATTR, 16, 0 },
		{ RDMA_USER_CM_CMD_JOIN_IP_MCAST, 48, 0 }, { RDMA_USER_CM_CMD_LEAVE_MCAST, 16, 0 },
		{ RDMA_USER_CM_CMD_JOIN_MCAST, 152, 0 }, { RDMA_USER_CM_CMD_QUERY, 16, 0 },
		{ RDMA_USER_CM_CMD_BIND_IP, 40, SIZE_MAX }, { RDMA_USER_CM_CMD_RESOLVE_IP, 64, SIZE_MAX },
		{ RDMA_USER_CM_CMD_CONNECT, 288, SIZE_MAX }, { RDMA_USER_CM_CMD_ACCEPT, 296, SIZE_MAX },
		{ RDMA_USER_CM_CMD_LISTEN, 8, SIZE_MAX }, { 0xffffffff, 0, SIZE_MAX },
	};
	struct { struct rdma_ucm_cmd_hdr header; uint8_t body[400]; } c;
	struct ucm u;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		bool responds = table[i].response != SIZE_MAX;

		memset(&c, 0xee, sizeof(c));
		c.header = (struct rdma_ucm_cmd_hdr){ table[i].number, (uint16_t)table[i].length, 12 };
		if (responds)
			memcpy(c.body + table[i].response, &(uint64_t){ 0x1000 }, 8);
		CHECK(ucm_parse(&u, &c, 8 + table[i].length) == 0 && u.number == table[i].number);
		CHECK(u.length == 8 + table[i].length && u.old_channel == -1 && u.option_length == 0);
		CHECK(u.response == (responds ? (void *)0x1000 : NULL) && u.response_room == (responds ? 12 : 0));
		CHECK(ucm_parse(&u, &c, 7 + table[i].length) == EINVAL);
		c.header.in = (uint16_t)(table[i].response + 7);
		CHECK(!responds || ucm_parse(&u, &c, sizeof(c)) == EINVAL);
	}
	CHECK(sizeof(struct rdma_ucm_connect) == 288 && sizeof(struct rdma_ucm_accept) == 296);
}

static const struct test tests[] = {
	TEST(prefixes_match_whole_components),
	TEST(the_root_is_stripped),
	TEST(maps_lines_are_read),
	TEST(the_kernels_list_is_read),
	TEST(the_text_is_searched),
	TEST(pieces_are_kept_sorted),
	TEST(commands_are_parsed),
	TEST(cm_commands_are_parsed),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
