/*
 * What `freeflow run` says in the environment, read once in the constructor.
 * With env.root NULL the library is inert: every call goes straight to libc.
 */
#ifndef FF_ENV_H
#define FF_ENV_H

#include <stdbool.h>
#include <stddef.h>

struct env {
	const char *root;	/* FREEFLOW_ROOT without trailing slashes, or NULL */
	size_t root_length;
	const char *real_root;	/* the same with symbolic links resolved */
	size_t real_root_length;
	const char *socket;	/* the router's */
	bool debug;
	bool quiet;
};

extern struct env env;

void env_read(void);

/* Prints to standard error if FREEFLOW_DEBUG=1; keeps errno. */
void debug(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Prints one line to standard error unless FREEFLOW_QUIET=1; keeps errno. */
void complain(const char *format, ...) __attribute__((format(printf, 1, 2)));

#endif
