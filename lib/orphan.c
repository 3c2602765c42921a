#include "orphan.h"

#include "real.h"
EXPORT void pthread_exit(void *v) { REAL(pthread_exit)(v); }
void orphan_watch(void) {}
bool orphan_is_watching(void) { return false; }
void orphan_forked(void) {}
