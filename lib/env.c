#include "env.h"

#include "real.h"

#include <errno.h>
#include <limits.h>
#include <stdarg.h>
#include <string.h>

struct env env;

static char root[PATH_MAX];
static char real_root[PATH_MAX];
static char socket_path[PATH_MAX];

static bool flag(const char *name)
{
	const char *value = getenv(name);

	return value && strcmp(value, "1") == 0;
}

void env_read(void)
{
	const char *from = getenv("FREEFLOW_ROOT");
	const char *run_dir = getenv("FREEFLOW_RUN_DIR");
	size_t n = from ? strlen(from) : 0;

	while (n > 1 && from[n - 1] == '/')
		n--;
	if (n <= 1 || from[0] != '/' || n >= sizeof(root))
		return;

	if (!run_dir || !*run_dir)
		run_dir = "/run/freeflow";
	snprintf(socket_path, sizeof(socket_path), "%s/router.sock", run_dir);

	memcpy(root, from, n);
	if (!REAL(realpath)(root, real_root))
		strcpy(real_root, root);

	env.debug = flag("FREEFLOW_DEBUG");
	env.quiet = flag("FREEFLOW_QUIET");
	env.socket = socket_path;
	env.root_length = n;
	env.real_root = real_root;
	env.real_root_length = strlen(real_root);
	env.root = root;
}

/* One write() a line, without stdio, whose locks belong to the program. */
static void print(const char *format, va_list args)
{
	char line[512] = "freeflow: ";
	size_t start = strlen(line);
	int saved = errno, n;

	n = vsnprintf(line + start, sizeof(line) - start - 1, format, args);
	if (n > 0) {
		size_t end = start + (size_t)n;

		if (end > sizeof(line) - 2)
			end = sizeof(line) - 2;
		line[end++] = '\n';
		if (LIBC(write)(STDERR_FILENO, line, end) < 0)
			errno = saved;
	}
	errno = saved;
}

void debug(const char *format, ...)
{
	va_list args;

	if (likely(!env.debug))
		return;
	va_start(args, format);
	print(format, args);
	va_end(args);
}

void complain(const char *format, ...)
{
	va_list args;

	if (env.quiet)
		return;
	va_start(args, format);
	print(format, args);
	va_end(args);
}
