#include "real.h"

#include <dlfcn.h>

struct real real;

/*
 * Threads may bind at the same time before the constructor has run: they store
 * the same values, each in one instruction.
 */
void real_bind(void)
{
#define X(name) \
	do { \
		void *found = dlsym(RTLD_NEXT, #name); \
		__atomic_store(&real.name, (__typeof__(&name) *)&found, __ATOMIC_RELAXED); \
	} while (0);
	REAL_FUNCTIONS(X)
#undef X
}
