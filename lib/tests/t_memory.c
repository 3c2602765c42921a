/*
 * Registration: what is shared, what is refused, and what a program may do to
 * its memory before, during and after.
 */
#include "harness.h"

#include <errno.h>
#include <fcntl.h>
#include <freeflow.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/* The preloaded library has them; the launcher runs without it. */
#pragma weak ibv_malloc
#pragma weak ibv_free

#define PAGE 4096ul
#define MiB (1ul << 20)

static char *map(size_t length, int protection)
{
	char *p = mmap(NULL, length, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	CHECK(p != MAP_FAILED);
	return p;
}

static char *map_rw(size_t length)
{
	return map(length, PROT_READ | PROT_WRITE);
}

static bool in_core(const void *page)
{
	uint64_t entry = 0;
	int fd = open("/proc/self/pagemap", O_RDONLY);

	CHECK(pread(fd, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) == 8);
	close(fd);
	return entry >> 62;
}

static bool is_shared(const void *address)
{
	unsigned long start, end;
	char line[512], mode[8];
	bool found = false;
	FILE *f = fopen("/proc/self/maps", "r");

	while (fgets(line, sizeof(line), f))
		if (sscanf(line, "%lx-%lx %7s", &start, &end, mode) == 3 &&
		    (uintptr_t)address >= start && (uintptr_t)address < end)
			found = mode[3] == 's';
	fclose(f);
	return found;
}

static void interior_pages_are_shared(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(16 * PAGE);
	bool shared;

	for (size_t i = 0; i < 16 * PAGE; i++)
		p[i] = (char)(i * 31 >> 8);
	mr = reg_mr(fd, p + 100, 15 * PAGE, LOCAL_WRITE | REMOTE_WRITE);
	CHECK(mr > 0 && shared_bytes(fd, mr) == 14 * PAGE && allocated(fd) == 14 * PAGE);
	for (size_t i = 0; i < 16 * PAGE; i++)
		CHECK(p[i] == (char)(i * 31 >> 8));
	p[5 * PAGE] = 77;
	CHECK(peek(fd, mr, p + 5 * PAGE, &shared) == 77 && shared);
	poke(fd, mr, p + 6 * PAGE + 1, 66);
	CHECK(p[6 * PAGE + 1] == 66);
	p[200] = 55;
	CHECK(peek(fd, mr, p + 200, &shared) == 55 && !shared);
	CHECK(dereg_mr(fd, mr) == 0 && allocated(fd) == 0 && !is_shared(p + 5 * PAGE));
	CHECK(p[5 * PAGE] == 77 && p[6 * PAGE + 1] == 66 && p[200] == 55);
	for (size_t i = 7 * PAGE; i < 16 * PAGE; i++)
		CHECK(p[i] == (char)(i * 31 >> 8));
	CHECK(dereg_mr(fd, mr) == -EINVAL);
	/* Less than a page has no interior. */
	mr = reg_mr(fd, p + 8, PAGE, LOCAL_WRITE);
	CHECK(mr > 0 && shared_bytes(fd, mr) == 0);
	mr = reg_mr(fd, p + PAGE, PAGE, LOCAL_WRITE);
	CHECK(mr > 0 && shared_bytes(fd, mr) == PAGE);
}

static void kinds_of_memory(void)
{
	static char bss[64 * PAGE];
	int fd = device(NULL), mr, file = memfd_create("other", 0);
	char stack[4 * PAGE], *heap = malloc(100000), *p;

	CHECK((mr = reg_mr(fd, bss, sizeof(bss), LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) >= 62 * PAGE);
	CHECK((mr = reg_mr(fd, heap, 100000, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) >= 22 * PAGE);
	stack[5] = 1;
	CHECK((mr = reg_mr(fd, stack, sizeof(stack), LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == 0);
	CHECK(ftruncate(file, 16 * PAGE) == 0);
	p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	CHECK((mr = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == 0);
	p = mmap(NULL, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 0);
	CHECK((mr = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == 0);
	/* A mapping of several kinds: what can be shared is. */
	p = map_rw(16 * PAGE);
	CHECK(mmap(p + 4 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, file, 0) == p + 4 * PAGE);
	CHECK((mr = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == 14 * PAGE);
	CHECK(dereg_mr(fd, mr) == 0);
}

static void refusals_are_the_kernels(void)
{
	int fd = device(NULL);
	char *p = map_rw(4 * PAGE), *ro = map(4 * PAGE, PROT_READ), *none = map(4 * PAGE, PROT_NONE);

	CHECK(reg_mr(fd, p, 0, LOCAL_WRITE) == -EINVAL);
	CHECK(reg_mr(fd, p, -PAGE, LOCAL_WRITE) == -EFAULT || reg_mr(fd, p, -PAGE, LOCAL_WRITE) == -EINVAL);
	CHECK(reg_mr(fd, p, (size_t)-1, LOCAL_WRITE) == -EINVAL);
	CHECK(reg_mr(fd, (void *)16, 100, LOCAL_WRITE) == -EFAULT);
	CHECK(reg_mr(fd, ro, PAGE, LOCAL_WRITE) == -EFAULT);
	CHECK(reg_mr(fd, ro, PAGE, REMOTE_READ) > 0);
	CHECK(reg_mr(fd, none, PAGE, 0) == -EFAULT);
	CHECK(reg_mr(fd, p, PAGE, REMOTE_WRITE) == -EINVAL);
	CHECK(reg_mr(fd, p, PAGE, REMOTE_ATOMIC) == -EINVAL);
	munmap(p + PAGE, PAGE);
	CHECK(reg_mr(fd, p, 3 * PAGE, LOCAL_WRITE) == -EFAULT);
	CHECK(allocated(fd) == 0);
	/* What the router refuses is undone. */
	p[10] = 4;
	CHECK(reg_mr(fd, p, PAGE, LOCAL_WRITE | 0xbad << 16) == -EINVAL);
	CHECK(allocated(fd) == 0 && !is_shared(p) && p[10] == 4);
	/* Without room in the memory file registration goes on unshared. */
	CHECK(mock(fd, MOCK_FAIL_ALLOC, 1, 0, 0, NULL) == 0);
	int mr = reg_mr(fd, p, PAGE, LOCAL_WRITE);
	CHECK(mr > 0 && shared_bytes(fd, mr) == 0 && peek(fd, mr, p + 10, NULL) == 4);
}

static void overlapping_registrations(void)
{
	int fd = device(NULL), a, b, c;
	char *p = map_rw(32 * PAGE);
	bool shared;

	memset(p, 1, 32 * PAGE);
	CHECK((a = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0);
	CHECK((b = reg_mr(fd, p + 8 * PAGE, 16 * PAGE, LOCAL_WRITE)) > 0);
	CHECK((c = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(shared_bytes(fd, a) == 16 * PAGE && shared_bytes(fd, b) == 16 * PAGE && shared_bytes(fd, c) == 16 * PAGE);
	CHECK(allocated(fd) == 24 * PAGE);
	p[9 * PAGE] = 42;
	CHECK(peek(fd, a, p + 9 * PAGE, &shared) == 42 && shared);
	CHECK(peek(fd, b, p + 9 * PAGE, &shared) == 42 && shared);
	CHECK(dereg_mr(fd, a) == 0 && is_shared(p) && allocated(fd) == 24 * PAGE);
	CHECK(dereg_mr(fd, c) == 0 && is_shared(p + 9 * PAGE));
	CHECK(peek(fd, b, p + 9 * PAGE, &shared) == 42 && shared);
	poke(fd, b, p + 10 * PAGE, 43);
	CHECK(dereg_mr(fd, b) == 0 && allocated(fd) == 0);
	CHECK(!is_shared(p) && !is_shared(p + 9 * PAGE) && p[9 * PAGE] == 42 && p[10 * PAGE] == 43);
	/* The same memory in two devices: the second goes without sharing. */
	int other = device(NULL);
	CHECK((a = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0 && (b = reg_mr(other, p, 16 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(shared_bytes(other, b) == 0 && shared_bytes(fd, a) == 16 * PAGE);
	CHECK(dereg_mr(fd, a) == 0 && peek(other, b, p + 9 * PAGE, NULL) == 42);
	close(other);
	CHECK(p[9 * PAGE] == 42);
}

static void closing_gives_memory_back(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(64 * PAGE);

	memset(p, 3, 64 * PAGE);
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0 && is_shared(p));
	poke(fd, mr, p + 7, 9);
	close(fd);
	CHECK(!is_shared(p) && p[7] == 9 && p[8] == 3 && p[64 * PAGE - 1] == 3);
}

static void untouched_pages_stay_so(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(1024 * MiB);
	double start = now();

	p[500 * MiB] = 1;
	mr = reg_mr(fd, p, 1024 * MiB, LOCAL_WRITE);
	note("registration of 1 GiB, one page touched: %.1f ms", (now() - start) * 1e3);
	CHECK(now() - start < 0.1);
	CHECK(mr > 0 && shared_bytes(fd, mr) == 1024 * MiB);
	CHECK(!in_core(p) && !in_core(p + 700 * MiB) && p[500 * MiB] == 1);
	poke(fd, mr, p + 600 * MiB, 5);
	CHECK(!in_core(p + 600 * MiB));
	start = now();
	CHECK(dereg_mr(fd, mr) == 0);
	note("deregistration: %.1f ms", (now() - start) * 1e3);
	CHECK(!in_core(p) && p[500 * MiB] == 1 && p[600 * MiB] == 5 && p[601 * MiB] == 0);
}

static void populated_memory_is_quick(void)
{
	int fd = device(NULL), mr;
	size_t size = 1024 * MiB;
	char *p = map_rw(size);
	double start;

	memset(p, 7, size);
	start = now();
	mr = reg_mr(fd, p, size, LOCAL_WRITE);
	note("registration of 1 GiB, populated: %.0f ms", (now() - start) * 1e3);
	CHECK(mr > 0 && shared_bytes(fd, mr) == size);
	start = now();
	for (size_t i = 0; i < size; i += PAGE)
		p[i] = 8;
	note("touching it again: %.0f ms", (now() - start) * 1e3);
	start = now();
	CHECK(dereg_mr(fd, mr) == 0);
	note("deregistration: %.0f ms", (now() - start) * 1e3);
	CHECK(p[size / 2] == 8 && p[size / 2 + 1] == 7);

	start = now();
	for (int i = 0; i < 1000; i++) {
		mr = reg_mr(fd, p + 64 * PAGE * (size_t)i, 16 * PAGE, LOCAL_WRITE);
		CHECK(mr > 0 && dereg_mr(fd, mr) == 0);
	}
	note("registration and deregistration of 64 KiB: %.0f us", (now() - start) * 1e3);
}

struct writer { atomic_bool stop; _Atomic uint64_t *words; size_t count; uint64_t rounds; };

/* Each word counts up by itself; a lost update shows as a word that falls behind. */
static void *write_on(void *argument)
{
	struct writer *w = argument;

	while (!w->stop) {
		w->rounds++;
		for (size_t i = 0; i < w->count; i++) {
			if (w->words[i] != w->rounds - 1)
				return (void *)(i + 1);
			w->words[i] = w->rounds;
		}
	}
	return NULL;
}

static void writers_lose_nothing(void)
{
	size_t size = 8 * MiB;
	int fd = device(NULL);
	struct writer w = { .count = size / 64 };
	pthread_t thread;
	void *lost;
	char *p = map_rw(size);

	w.words = (void *)p;
	CHECK(pthread_create(&thread, NULL, write_on, &w) == 0);
	for (int i = 0; i < 60; i++) {
		int mr = reg_mr(fd, p, size, LOCAL_WRITE);

		CHECK(mr > 0 && shared_bytes(fd, mr) == size);
		if (i % 3 == 0)
			usleep(500);
		CHECK(dereg_mr(fd, mr) == 0);
	}
	w.stop = true;
	pthread_join(thread, &lost);
	note("%lu rounds of writing meanwhile", (unsigned long)w.rounds);
	CHECK(lost == NULL);
}

static void realloc_of_registered_memory(void)
{
	int fd = device(NULL), mr;
	size_t size = 4 * MiB;
	char *p = malloc(size);

	memset(p, 5, size);
	CHECK((mr = reg_mr(fd, p, size, LOCAL_WRITE)) > 0 && is_shared(p + MiB));
	p = realloc(p, 3 * size);
	CHECK(p);
	memset(p + size, 6, 2 * size);
	for (size_t i = 0; i < size; i += 97)
		CHECK(p[i] == 5);
	CHECK(dereg_mr(fd, mr) == 0 && p[MiB] == 5 && p[2 * size] == 6);
	free(p);
	p = malloc(size);
	memset(p, 5, size);
	CHECK((mr = reg_mr(fd, p, size, LOCAL_WRITE)) > 0);
	CHECK(dereg_mr(fd, mr) == 0);
	p = realloc(p, 3 * size);
	memset(p + size, 6, 2 * size);
	CHECK(p[MiB] == 5);
	free(p);
}

static void mremap_moves_it_back(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(64 * PAGE), *q;
	uint64_t answer[4];

	memset(p, 9, 64 * PAGE);
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0 && is_shared(p));
	poke(fd, mr, p, 10);
	q = mremap(p, 64 * PAGE, 256 * PAGE, MREMAP_MAYMOVE);
	CHECK(q != MAP_FAILED && q[0] == 10 && q[64 * PAGE - 1] == 9);
	memset(q + 64 * PAGE, 1, 192 * PAGE);
	CHECK(!is_shared(q) && shared_bytes(fd, mr) == 0 && allocated(fd) == 0);
	CHECK(mock(fd, MOCK_STATS, 0, 0, 0, answer) == 0 && answer[3] >= 1);
	CHECK(dereg_mr(fd, mr) == 0 && q[0] == 10);
}

static void munmap_while_registered(void)
{
	int fd = device(NULL), mr, mr2;
	char *p = map_rw(64 * PAGE);

	memset(p, 9, 64 * PAGE);
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(munmap(p + 16 * PAGE, 16 * PAGE) == 0);
	CHECK(shared_bytes(fd, mr) < 64 * PAGE);
	CHECK(mmap(p + 16 * PAGE, 16 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 16 * PAGE);
	p[20 * PAGE] = 2;
	CHECK((mr2 = reg_mr(fd, p + 16 * PAGE, 16 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(shared_bytes(fd, mr2) == 16 * PAGE && p[20 * PAGE] == 2);
	CHECK(dereg_mr(fd, mr) == 0);
	CHECK(is_shared(p + 20 * PAGE) && !is_shared(p) && p[0] == 9);
	CHECK(peek(fd, mr2, p + 20 * PAGE, NULL) == 2);
	CHECK(dereg_mr(fd, mr2) == 0 && allocated(fd) == 0 && p[20 * PAGE] == 2);
}

/* mmap() over registered memory is not seen; it must be noticed. */
static void replaced_behind_our_back(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(64 * PAGE);

	memset(p, 9, 64 * PAGE);
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(mmap(p + 8 * PAGE, 8 * PAGE, PROT_READ | PROT_WRITE,
		   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p + 8 * PAGE);
	memset(p + 8 * PAGE, 4, 8 * PAGE);
	CHECK(mprotect(p + 32 * PAGE, 4 * PAGE, PROT_READ) == 0);
	CHECK(dereg_mr(fd, mr) == 0);
	CHECK(p[0] == 9 && p[8 * PAGE] == 4 && p[15 * PAGE] == 4 && p[16 * PAGE] == 9 && p[33 * PAGE] == 9);
	CHECK(!is_shared(p) && !is_shared(p + 40 * PAGE) && allocated(fd) == 0);
	CHECK(reg_mr(fd, p + 32 * PAGE, PAGE, LOCAL_WRITE) == -EFAULT);

	/* Replaced, then registered again: the stale piece goes. */
	CHECK((mr = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(mmap(p, 16 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == p);
	p[3] = 3;
	int mr2 = reg_mr(fd, p, 16 * PAGE, LOCAL_WRITE);
	CHECK(mr2 > 0 && shared_bytes(fd, mr2) == 16 * PAGE && peek(fd, mr2, p + 3, NULL) == 3);
	CHECK(dereg_mr(fd, mr) == 0 && is_shared(p) && dereg_mr(fd, mr2) == 0 && !is_shared(p) && p[3] == 3);
	CHECK(allocated(fd) == 0);
}

static void advice_means_the_same(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(64 * PAGE);
	bool shared;

	memset(p, 9, 64 * PAGE);
	CHECK((mr = reg_mr(fd, p + 16 * PAGE, 32 * PAGE, LOCAL_WRITE)) > 0);
	CHECK(madvise(p, 64 * PAGE, MADV_FREE) == 0);
	CHECK(p[20 * PAGE] == 9);
	CHECK(madvise(p + 8 * PAGE, 16 * PAGE, MADV_DONTNEED) == 0);
	CHECK(p[8 * PAGE] == 0 && p[20 * PAGE] == 0 && p[23 * PAGE] == 0 && p[24 * PAGE] == 9);
	p[20 * PAGE] = 1;
	CHECK(peek(fd, mr, p + 20 * PAGE, &shared) == 1 && shared);
	CHECK(madvise(p, 64 * PAGE, MADV_WILLNEED) == 0);
	CHECK(madvise(p + 1, PAGE, MADV_DONTNEED) < 0 && errno == EINVAL);
	CHECK(dereg_mr(fd, mr) == 0 && p[20 * PAGE] == 1 && p[21 * PAGE] == 0);
}

static bool dontfork(const void *address)
{
	unsigned long start, end;
	bool inside = false, found = false;
	FILE *f = fopen("/proc/self/smaps", "r");
	char line[512];

	while (fgets(line, sizeof(line), f)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2 && strchr(line, '-'))
			inside = (uintptr_t)address >= start && (uintptr_t)address < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, " dc") != NULL;
	}
	fclose(f);
	return found;
}

static void dontfork_survives(void)
{
	int fd = device(NULL), mr;
	char *p = map_rw(64 * PAGE);

	memset(p, 9, 64 * PAGE);
	CHECK(madvise(p, 64 * PAGE, MADV_DONTFORK) == 0 && dontfork(p));
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0 && is_shared(p) && dontfork(p));
	CHECK(dereg_mr(fd, mr) == 0 && dontfork(p));
	CHECK(madvise(p, 64 * PAGE, MADV_DOFORK) == 0 && !dontfork(p));
	CHECK((mr = reg_mr(fd, p, 64 * PAGE, LOCAL_WRITE)) > 0 && !dontfork(p));
}

static void mappings_do_not_pile_up(void)
{
	int fd = device(NULL), lines[2];
	char *p = map_rw(4096 * PAGE), line[512];

	memset(p, 1, 4096 * PAGE);
	for (int round = 0; round < 2; round++) {
		FILE *f = fopen("/proc/self/maps", "r");

		for (lines[round] = 0; fgets(line, sizeof(line), f); lines[round]++)
			;
		fclose(f);
		for (size_t i = 0; round == 0 && i < 4000; i += 4) {
			int mr = reg_mr(fd, p + i * PAGE, 3 * PAGE, LOCAL_WRITE);

			CHECK(mr > 0 && dereg_mr(fd, mr) == 0);
		}
	}
	note("mappings before and after 1000 registrations: %d, %d", lines[0], lines[1]);
	CHECK(lines[1] < lines[0] + 20);
}

static void many_registrations(void)
{
	enum { N = 3000 };
	static int mr[N];
	int fd = device(NULL);
	char *p = map_rw(N * 4 * PAGE);
	double start = now();

	for (int i = 0; i < N; i++) {
		p[(size_t)i * 4 * PAGE] = (char)i;
		CHECK((mr[i] = reg_mr(fd, p + (size_t)i * 4 * PAGE, 2 * PAGE, LOCAL_WRITE)) > 0);
	}
	for (int i = 0; i < N; i += 7)
		CHECK(peek(fd, mr[i], p + (size_t)i * 4 * PAGE, NULL) == (uint8_t)i);
	for (int i = N; i-- > 0;)
		CHECK(dereg_mr(fd, mr[i]) == 0);
	for (int i = 0; i < N; i++)
		CHECK(p[(size_t)i * 4 * PAGE] == (char)i);
	CHECK(allocated(fd) == 0);
	note("%d registrations alive: %.0f us for each and its end", N, (now() - start) * 1e6 / N);
}

struct churn { int fd; char *memory; int wrong; };

static void *register_on(void *argument)
{
	struct churn *c = argument;

	for (int i = 0; i < 200; i++) {
		int mr;

		memset(c->memory, i, 16 * PAGE);
		mr = reg_mr(c->fd, c->memory, 16 * PAGE, LOCAL_WRITE);
		if (mr <= 0 || peek(c->fd, mr, c->memory + 5 * PAGE, NULL) != (uint8_t)i)
			c->wrong++;
		free(malloc(300000));
		if (dereg_mr(c->fd, mr) != 0 || c->memory[9 * PAGE] != (char)i)
			c->wrong++;
	}
	return NULL;
}

static void threads_register(void)
{
	struct churn c[4];
	pthread_t threads[4];
	int fd = device(NULL);
	char *p = map_rw(64 * PAGE);

	for (size_t i = 0; i < 4; i++) {
		c[i] = (struct churn){ fd, p + i * 16 * PAGE, 0 };
		CHECK(pthread_create(&threads[i], NULL, register_on, &c[i]) == 0);
	}
	for (int i = 0; i < 4; i++) {
		pthread_join(threads[i], NULL);
		CHECK(c[i].wrong == 0);
	}
	CHECK(allocated(fd) == 0);
}

static void ibv_malloc_is_shared(void)
{
	int fd = device(NULL), mr;
	char *p = ibv_malloc(10000);

	CHECK(p && (uintptr_t)p % PAGE == 0 && p[9999] == 0);
	CHECK((mr = reg_mr(fd, p, 3 * PAGE, LOCAL_WRITE)) > 0 && shared_bytes(fd, mr) == 3 * PAGE);
	ibv_free(p);
	CHECK(shared_bytes(fd, mr) == 0 && allocated(fd) == 0);
	ibv_free(NULL);
	CHECK(ibv_malloc((size_t)-1) == NULL && errno == ENOMEM);
}

static const struct test tests[] = {
	TEST(interior_pages_are_shared),
	TEST(kinds_of_memory),
	TEST(refusals_are_the_kernels),
	TEST(overlapping_registrations),
	TEST(closing_gives_memory_back),
	TEST(untouched_pages_stay_so),
	TEST(populated_memory_is_quick),
	TEST(writers_lose_nothing),
	TEST(realloc_of_registered_memory),
	TEST(mremap_moves_it_back),
	TEST(munmap_while_registered),
	TEST(replaced_behind_our_back),
	TEST(advice_means_the_same),
	TEST(dontfork_survives),
	TEST(mappings_do_not_pile_up),
	TEST(many_registrations),
	TEST(threads_register),
	TEST(ibv_malloc_is_shared),
};

int main(int argc, char **argv)
{
	return run_tests(argc, argv, tests, sizeof(tests) / sizeof(tests[0]));
}
