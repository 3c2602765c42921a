#include "real.h"

#include <dlfcn.h>
#include <gnu/lib-names.h>

struct real real;
struct libc libc;

/*
 * Threads may bind at the same time before the constructor has run: they store
 * the same values, each in one instruction.
 */
void real_bind(void)
{
	void *handle = dlopen(LIBC_SO, RTLD_LAZY | RTLD_NOLOAD);

#define BIND(table, from, name) \
	do { \
		void *found = dlsym(from, #name); \
		__atomic_store(&table.name, (__typeof__(&name) *)&found, __ATOMIC_RELAXED); \
	} while (0);
#define X(name) BIND(real, RTLD_NEXT, name)
	REAL_FUNCTIONS(X)
#undef X
#define X(name) BIND(libc, handle ? handle : RTLD_NEXT, name)
	LIBC_FUNCTIONS(X)
#undef X
#undef BIND
}
