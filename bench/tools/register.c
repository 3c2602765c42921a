// ffregister SIZE untouched|populated: how long ibv_reg_mr and ibv_dereg_mr take.
//
// Prints one line: the two times in microseconds. "untouched" is memory that was mapped and never written, "populated" has
// every page written. After deregistration the populated pages are checked to hold what was written.
#include <sys/mman.h>

#include "common.h"

enum { PAGE = 4096 };

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: ffregister SIZE untouched|populated\n");
		return 2;
	}
	size_t size = strtoull(argv[1], NULL, 0);
	int populated = strcmp(argv[2], "populated") == 0;
	struct ibv_context *ctx = open_first_device();
	struct ibv_pd *pd = ibv_alloc_pd(ctx);
	if (!pd)
		DIE("allocate a PD");
	unsigned char *mem = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (mem == MAP_FAILED)
		DIE("map %zu bytes", size);
	for (size_t at = 0; populated && at < size; at += PAGE)
		mem[at] = (unsigned char)(at / PAGE);

	uint64_t begin = now_ns();
	struct ibv_mr *mr = ibv_reg_mr(pd, mem, size, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE | IBV_ACCESS_REMOTE_READ);
	uint64_t registered = now_ns();
	if (!mr)
		DIE("register %zu bytes", size);
	uint64_t between = now_ns();
	if (ibv_dereg_mr(mr))
		DIE("deregister");
	uint64_t end = now_ns();

	for (size_t at = 0; populated && at < size; at += PAGE)
		if (mem[at] != (unsigned char)(at / PAGE)) {
			fprintf(stderr, "byte at %zu changed\n", at);
			return 1;
		}
	printf("%.1f %.1f\n", (double)(registered - begin) / 1e3, (double)(end - between) / 1e3);
	ibv_dealloc_pd(pd);
	ibv_close_device(ctx);
	return 0;
}
