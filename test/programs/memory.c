/*
 * memory.c: all kinds of memory can be registered or are refused with the
 * errno that the kernel gives, carry what they should, and are afterwards what
 * they were before.
 */
#include "check.h"
#include "freeflow.h"
#include <dlfcn.h>
#include <sys/wait.h>

#define LENGTH (1u << 20)
#define READABLE (IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_READ)

static struct side a, b;
static struct plan plan = { .length = 2 * LENGTH };

static uint8_t in_data[LENGTH] = { 1 };
static uint8_t in_bss[LENGTH];

/* Sends all of a registration to b and has b write all of it. */
static void use(struct ibv_mr *mr, uint8_t *memory, size_t length, bool writable)
{
	struct request r = request(&a, 1, IBV_WR_SEND, 0, (uint32_t)length, NULL);

	if (!mr)
		return;
	memset(b.memory, 0, length);
	post_recv(&b, 2, 0, (uint32_t)length);
	r.sge = (struct ibv_sge){ (uintptr_t)memory, (uint32_t)length, mr->lkey };
	EXPECT(post(&a, &r) == 0, "ibv_post_send");
	EXPECT_WC(a.send_cq, 1, IBV_WC_SUCCESS);
	EXPECT_WC(b.recv_cq, 2, IBV_WC_SUCCESS);
	EXPECT(memcmp(memory, b.memory, length) == 0, "b received something else");
	if (!writable || failure[0])
		return;
	fill(b.memory, length, 77);
	r = request(&b, 3, IBV_WR_RDMA_WRITE, 0, (uint32_t)length, NULL);
	r.wr.wr.rdma.remote_addr = (uintptr_t)memory;
	r.wr.wr.rdma.rkey = mr->rkey;
	EXPECT(post(&b, &r) == 0, "ibv_post_send");
	EXPECT_WC(b.send_cq, 3, IBV_WC_SUCCESS);
	EXPECT(differs(memory, length, 77) == length, "wrong at %zu after a write", differs(memory, length, 77));
}

/* Registers, uses, deregisters; what the memory holds outlives that. */
static void round_trip(void *start, size_t length)
{
	uint8_t *memory = start;
	struct ibv_mr *mr;

	fill(memory, length, 5);
	mr = ibv_reg_mr(a.pd, memory, length, ALL_ACCESS);
	if (!EXPECT(mr, "ibv_reg_mr: errno %d", errno))
		return;
	EXPECT(differs(memory, length, 5) == length, "changed at %zu by registration", differs(memory, length, 5));
	use(mr, memory, length, true);
	EXPECT(ibv_dereg_mr(mr) == 0, "ibv_dereg_mr: errno %d", errno);
	EXPECT(differs(memory, length, 77) == length, "changed at %zu by deregistration", differs(memory, length, 77));
}

static void heap(void)
{
	size_t sizes[] = { 1, 100, 4096, 70000, 300000, LENGTH };

	for (int i = 0; i < 6; i++) {
		uint8_t *memory = malloc(sizes[i]);

		round_trip(memory, sizes[i]);
		memory = realloc(memory, sizes[i] * 2);
		EXPECT(memory && differs(memory, sizes[i], 77) == sizes[i], "realloc after it, of %zu bytes", sizes[i]);
		memset(memory, 1, sizes[i] * 2);
		free(memory);
	}
}

static void small_heap(void)
{
	int count = 2000;
	uint8_t **memory = malloc((size_t)count * sizeof(*memory));
	struct ibv_mr **mrs = malloc((size_t)count * sizeof(*mrs));

	for (int i = 0; i < count; i++) {
		memory[i] = malloc(200);
		fill(memory[i], 200, (uint32_t)i);
		mrs[i] = ibv_reg_mr(a.pd, memory[i], 200, ALL_ACCESS);
		EXPECT(mrs[i], "registration %d: errno %d", i, errno);
	}
	for (int i = 0; i < count; i += 50)
		use(mrs[i], memory[i], 200, false);
	for (int i = 0; i < count; i++) {
		EXPECT(differs(memory[i], 200, (uint32_t)i) == 200, "block %d", i);
		ibv_dereg_mr(mrs[i]);
		free(memory[i]);
	}
	free(memory);
	free(mrs);
}

static void data(void) { round_trip(in_data, LENGTH); }
static void bss(void) { round_trip(in_bss, LENGTH); }

static void stack(void)
{
	uint8_t memory[300000];

	round_trip(memory, sizeof(memory));
}

static void unaligned(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	memset(memory, 0x5a, LENGTH);
	round_trip(memory + 4095, 500003);
	EXPECT(memory[4094] == 0x5a && memory[4095 + 500003] == 0x5a, "neighbours changed");
	munmap(memory, LENGTH);
}

static void with_mapping(int flags, int fd, int protection, int access, bool writable)
{
	uint8_t *memory = mmap(NULL, LENGTH, protection, flags, fd, 0);
	struct ibv_mr *mr;

	if (!EXPECT(memory != MAP_FAILED, "mmap: errno %d", errno))
		return;
	if (writable)
		round_trip(memory, LENGTH);
	mr = ibv_reg_mr(a.pd, memory, LENGTH, access);
	EXPECT(mr, "ibv_reg_mr: errno %d", errno);
	use(mr, memory, LENGTH, writable && (access & IBV_ACCESS_REMOTE_WRITE));
	if (mr)
		ibv_dereg_mr(mr);
	munmap(memory, LENGTH);
}

static int file_of(uint32_t seed)
{
	char name[] = "/tmp/ff-memory-XXXXXX";
	int fd = mkstemp(name);
	uint8_t *bytes = malloc(LENGTH);

	fill(bytes, LENGTH, seed);
	if (fd < 0 || write(fd, bytes, LENGTH) != LENGTH)
		die("%s", name);
	unlink(name);
	free(bytes);
	return fd;
}

static void shared_anonymous(void) { with_mapping(MAP_SHARED | MAP_ANONYMOUS, -1, PROT_READ | PROT_WRITE, ALL_ACCESS, true); }

/* Maps a file, has the mapping written to, and looks at what the file has then: the bytes of a seed. */
static void written_file(int flags, unsigned seed, const char *otherwise)
{
	int fd = file_of(3);
	uint8_t *bytes = malloc(LENGTH);

	with_mapping(flags, fd, PROT_READ | PROT_WRITE, ALL_ACCESS, true);
	EXPECT(pread(fd, bytes, LENGTH, 0) == LENGTH && differs(bytes, LENGTH, seed) == LENGTH, "%s", otherwise);
	free(bytes);
	close(fd);
}

static void shared_file(void) { written_file(MAP_SHARED, 77, "the file did not get what was written to its mapping"); }

static void private_file(void) { written_file(MAP_PRIVATE, 3, "the file changed"); }

static void read_only_file(void)
{
	int fd = file_of(3);

	with_mapping(MAP_PRIVATE, fd, PROT_READ, IBV_ACCESS_REMOTE_READ, false);
	close(fd);
}

static void huge_pages(void)
{
	size_t length = 2u << 20;
	uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);

	if (memory == MAP_FAILED) {
		skip = "the machine has no huge pages free (vm.nr_hugepages)";
		return;
	}
	round_trip(memory, LENGTH);
	munmap(memory, length);
}

static void transparent_huge_pages(void)
{
	size_t length = 8u << 20;
	uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *aligned = (uint8_t *)(((uintptr_t)memory + (2u << 20) - 1) & ~(uintptr_t)((2u << 20) - 1));

	madvise(memory, length, MADV_HUGEPAGE);
	round_trip(aligned, LENGTH);
	munmap(memory, length);
}

static void expect_errno(void *memory, size_t length, int access, int expected, const char *what)
{
	struct ibv_mr *mr;

	errno = 0;
	mr = ibv_reg_mr(a.pd, memory, length, access);
	EXPECT(!mr && errno == expected, "%s: %s, errno %d", what, mr ? "registered" : "refused", errno);
	if (mr)
		ibv_dereg_mr(mr);
}

/* As a kernel refuses. */
static void refusals(void)
{
	uint8_t *memory = mmap(NULL, 4 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *constant = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	munmap(memory + 8192, 4096);
	expect_errno(memory, 16384, ALL_ACCESS, EFAULT, "a hole");
	expect_errno(memory + 8192, 4096, ALL_ACCESS, EFAULT, "nothing there");
	expect_errno(NULL, 4096, ALL_ACCESS, EFAULT, "NULL");
	expect_errno((void *)0x7ffffffff000, 1 << 20, ALL_ACCESS, EFAULT, "beyond the end of user space");
	expect_errno((void *)0xffff888000000000, 4096, ALL_ACCESS, EFAULT, "of the kernel");
	expect_errno((void *)~4095ull, 8192, ALL_ACCESS, EINVAL, "wraps");
	expect_errno(constant, 4096, IBV_ACCESS_LOCAL_WRITE, EFAULT, "read-only memory for writing");
	expect_errno(memory, 4096, IBV_ACCESS_REMOTE_WRITE, EINVAL, "remote write without local write");
	expect_errno(memory, 4096, IBV_ACCESS_REMOTE_ATOMIC, EINVAL, "atomics without local write");
	mprotect(memory, 4096, PROT_NONE);
	expect_errno(memory, 4096, ALL_ACCESS, EFAULT, "no access at all");
	munmap(memory, 8192);
	munmap(memory + 12288, 4096);
	munmap(constant, 4096);
}

static void overlapping(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mrs[8];

	fill(memory, LENGTH, 5);
	for (size_t i = 0; i < 8; i++) {
		mrs[i] = ibv_reg_mr(a.pd, memory + i * 60000, LENGTH - i * 120000, ALL_ACCESS);
		EXPECT(mrs[i], "registration %zu: errno %d", i, errno);
	}
	for (size_t i = 0; i < 8; i++) {
		size_t at = (i * 3) % 8;	/* in another order */

		use(mrs[at], memory + at * 60000, LENGTH - at * 120000, true);
		fill(memory, LENGTH, 5);
		ibv_dereg_mr(mrs[at]);
		EXPECT(differs(memory, LENGTH, 5) == LENGTH, "changed at %zu by deregistration %zu", differs(memory, LENGTH, 5), i);
	}
	munmap(memory, LENGTH);
}

static void repeated(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < 20; i++)
		round_trip(memory, LENGTH);
	munmap(memory, LENGTH);
}

/* Pages of the process, and of what is mapped of files, in KiB. */
static long resident(void)
{
	long size, pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (!f || fscanf(f, "%ld %ld", &size, &pages) != 2)
		die("statm");
	fclose(f);
	return pages * 4;
}

/* A gibibyte that nobody has touched stays so, and what is touched of it is kept. */
static void untouched(void)
{
	size_t length = 1u << 30, far = 700u << 20;
	uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	long before = resident();
	struct ibv_mr *mr;
	double start;

	fill(memory + far, 5 * 4096, 6);
	start = now();
	mr = ibv_reg_mr(a.pd, memory, length, ALL_ACCESS);
	if (!EXPECT(mr, "ibv_reg_mr: errno %d", errno))
		return;
	printf("registering 1 GiB untouched took %.2f ms\n", 1e3 * (now() - start));
	EXPECT(resident() - before < 16 << 10, "%ld KiB more are resident", resident() - before);
	EXPECT(differs(memory + far, 5 * 4096, 6) == 5 * 4096, "what was there changed");
	EXPECT(memory[1 << 20] == 0 && memory[length - 1] == 0, "untouched memory is not zero");
	use(mr, memory + far, 5 * 4096, true);
	use(mr, memory + (300 << 20), 100000, true);	/* b writes where nobody was */
	start = now();
	EXPECT(ibv_dereg_mr(mr) == 0, "ibv_dereg_mr");
	printf("deregistering took %.2f ms\n", 1e3 * (now() - start));
	EXPECT(resident() - before < 16 << 10, "%ld KiB more are resident at the end", resident() - before);
	EXPECT(differs(memory + far, 5 * 4096, 77) == 5 * 4096, "the end of it: changed");
	EXPECT(differs(memory + (300 << 20), 100000, 77) == 100000, "what b wrote is gone");
	munmap(memory, length);
}

/* Every third page is there. */
static void mixed(void)
{
	size_t length = 3000 * 4096;
	uint8_t *memory = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr;

	for (size_t i = 0; i < 3000; i += 3)
		fill(memory + i * 4096, 4096, (uint32_t)i);
	mr = ibv_reg_mr(a.pd, memory, length, ALL_ACCESS);
	if (!EXPECT(mr, "ibv_reg_mr: errno %d", errno))
		return;
	for (int when = 0; when < 2; when++) {
		for (size_t i = 0; i < 3000; i++) {
			if (i % 3 == 0)
				EXPECT(differs(memory + i * 4096, 4096, (uint32_t)i) == 4096, "page %zu changed", i);
			else
				EXPECT(memory[i * 4096] == 0 && memory[i * 4096 + 4095] == 0, "page %zu is not zero", i);
		}
		if (when == 0)
			ibv_dereg_mr(mr);
	}
	munmap(memory, length);
}

/* A child's memory is its own, and its end takes nothing from the parent. */
static void forked(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr;
	int status;
	pid_t child;

	fill(memory, LENGTH, 5);
	mr = ibv_reg_mr(a.pd, memory, LENGTH, ALL_ACCESS);
	child = fork();
	if (child == 0) {
		bool same = differs(memory, LENGTH, 5) == LENGTH;

		memset(memory, 0xee, LENGTH);
		_exit(same ? 0 : 1);
	}
	waitpid(child, &status, 0);
	EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child does not see the parent's bytes: %#x", status);
	EXPECT(differs(memory, LENGTH, 5) == LENGTH, "the child wrote to the parent's memory");
	use(mr, memory, LENGTH, true);
	ibv_dereg_mr(mr);
	munmap(memory, LENGTH);
}

/* The child gets the bytes of the time of the fork, while b goes on writing to the parent. */
static void forked_under_traffic(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr = ibv_reg_mr(a.pd, memory, LENGTH, ALL_ACCESS);

	if (!EXPECT(mr, "ibv_reg_mr: errno %d", errno))
		return;
	for (int i = 0; i < 10; i++) {
		int status, go[2];
		pid_t child;
		char byte;

		fill(memory, LENGTH, (uint32_t)i);
		if (pipe(go) != 0)
			die("pipe");
		child = fork();
		if (child == 0) {
			close(go[1]);
			(void)!read(go[0], &byte, 1);
			_exit(differs(memory, LENGTH, (uint32_t)i) == LENGTH ? 0 : 1);
		}
		close(go[0]);
		use(mr, memory, LENGTH, true);
		close(go[1]);
		waitpid(child, &status, 0);
		EXPECT(WIFEXITED(status) && WEXITSTATUS(status) == 0, "the child sees what b wrote to the parent: %#x", status);
	}
	ibv_dereg_mr(mr);
	munmap(memory, LENGTH);
}

/* A program may unmap, or replace, what is registered; its own messages then fail or carry what is there now. */
static void unmapped(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr;
	struct request r;
	struct side c, d;
	struct ibv_wc wc;

	make_pair(&c, &d, &plan);
	fill(memory, LENGTH, 5);
	mr = ibv_reg_mr(c.pd, memory, LENGTH, ALL_ACCESS);
	munmap(memory, LENGTH);
	post_recv(&d, 1, 0, 4096);
	r = request(&c, 2, IBV_WR_SEND, 0, 4096, NULL);
	r.sge = (struct ibv_sge){ (uintptr_t)memory + 8192, 4096, mr->lkey };
	EXPECT(post(&c, &r) == 0, "ibv_post_send");
	EXPECT(next_wc(c.send_cq, &wc, 5), "no completion");
	EXPECT(ibv_dereg_mr(mr) == 0, "ibv_dereg_mr: errno %d", errno);
	destroy_pair(&c, &d);
	/* The address is free for others. */
	memory = mmap(memory, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	EXPECT(memory[8192] == 0, "old bytes in new memory");
	round_trip(memory, LENGTH);
	munmap(memory, LENGTH);
}

static void freed_while_registered(void)
{
	for (int i = 0; i < 30; i++) {
		uint8_t *memory = malloc(LENGTH);
		struct ibv_mr *mr = ibv_reg_mr(a.pd, memory, LENGTH, ALL_ACCESS);

		EXPECT(mr, "ibv_reg_mr: errno %d", errno);
		fill(memory, LENGTH, (uint32_t)i);
		if (i % 2) {
			memory = realloc(memory, 3 * LENGTH);
			EXPECT(differs(memory, LENGTH, (uint32_t)i) == LENGTH, "realloc lost bytes in round %d", i);
			memset(memory, 1, 3 * LENGTH);
		}
		free(memory);
		EXPECT(ibv_dereg_mr(mr) == 0, "ibv_dereg_mr: errno %d", errno);
	}
}

/* Memory that is shared from the start, for programs that know of FreeFlow. */
static void from_ibv_malloc(void)
{
	void *(*allocate)(size_t) = (void *(*)(size_t))dlsym(RTLD_DEFAULT, "ibv_malloc");
	void (*release)(void *) = (void (*)(void *))dlsym(RTLD_DEFAULT, "ibv_free");
	uint8_t *memory;

	if (!EXPECT(allocate && release, "the library does not export ibv_malloc and ibv_free"))
		return;
	for (size_t size = 1; size <= 4 * LENGTH; size = size * 5 + 3) {
		memory = allocate(size);
		if (!EXPECT(memory, "ibv_malloc of %zu: errno %d", size, errno))
			return;
		EXPECT((uintptr_t)memory % 4096 == 0, "not page-aligned");
		EXPECT(memory[0] == 0 && memory[size - 1] == 0, "not zero");
		round_trip(memory, size > plan.length ? plan.length : size);
		round_trip(memory, size > plan.length ? plan.length : size);
		release(memory);
	}
	release(NULL);
}

/* The address that peers use need not be the program's own. */
static void other_iova(void)
{
	uint8_t *memory = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct ibv_mr *mr = ibv_reg_mr_iova(a.pd, memory + 100, LENGTH - 200, 0x123456000 + 100, ALL_ACCESS);
	struct request r;

	if (!EXPECT(mr, "ibv_reg_mr_iova: errno %d", errno))
		return;
	fill(b.memory, LENGTH, 8);
	r = request(&b, 1, IBV_WR_RDMA_WRITE, 0, LENGTH - 200, NULL);
	r.wr.wr.rdma.remote_addr = 0x123456000 + 100;
	r.wr.wr.rdma.rkey = mr->rkey;
	EXPECT(post(&b, &r) == 0, "ibv_post_send");
	EXPECT_WC(b.send_cq, 1, IBV_WC_SUCCESS);
	EXPECT(differs(memory + 100, LENGTH - 200, 8) == LENGTH - 200, "wrong at %zu", differs(memory + 100, LENGTH - 200, 8));
	EXPECT(memory[99] == 0 && memory[LENGTH - 100] == 0, "neighbours changed");
	ibv_dereg_mr(mr);
	munmap(memory, LENGTH);
}

int main(int argc, char **argv)
{
	make_pair(&a, &b, &plan);
	CASE(heap);
	CASE(small_heap);
	CASE(data);
	CASE(bss);
	CASE(stack);
	CASE(unaligned);
	CASE(shared_anonymous);
	CASE(shared_file);
	CASE(private_file);
	CASE(read_only_file);
	CASE(huge_pages);
	CASE(transparent_huge_pages);
	CASE(refusals);
	CASE(overlapping);
	CASE(repeated);
	CASE(untouched);
	CASE(mixed);
	CASE(forked);
	CASE(forked_under_traffic);
	CASE(unmapped);
	CASE(freed_while_registered);
	CASE(from_ibv_malloc);
	CASE(other_iova);
	destroy_pair(&a, &b);
	report("clean_up");
	return failures != 0;
}
