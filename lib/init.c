#include "env.h"
#include "maps.h"
#include "process.h"
#include "real.h"
#include "rsockets.h"

__attribute__((constructor)) static void init(void)
{
	long size = sysconf(_SC_PAGESIZE);

	if (size > 0)
		page_size = (size_t)size;
	real_bind();
	env_read();
	if (env.root) {
		process_init();
		rsockets_init();
	}
}
