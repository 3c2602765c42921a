#include "paths.h"

#include "env.h"
#include "real.h"

#include <errno.h>
#include <string.h>

#define UVERBS	"/dev/infiniband/uverbs0"
#define RDMA_CM	"/dev/infiniband/rdma_cm"

static const struct rule {
	const char *prefix;
	const char *instead;	/* NULL: the same place in the tree */
} rules[] = {
	{ "/sys/class/infiniband", NULL },
	{ "/sys/class/infiniband_verbs", NULL },
	{ "/sys/class/infiniband_cm", NULL },
	{ "/sys/class/infiniband_mad", NULL },
	{ "/sys/class/infiniband_ucma", NULL },
	{ "/sys/class/misc/rdma_cm", NULL },
	{ "/dev/infiniband", NULL },
	{ "/dev/char/231:192", UVERBS },
	{ "/dev/char/10:60", RDMA_CM },
};

/* Skips slashes and "." components, which name nothing. */
static const char *skip(const char *p)
{
	for (;;) {
		if (p[0] == '/')
			p++;
		else if (p[0] == '.' && (p[1] == '/' || p[1] == '\0'))
			p++;
		else
			return p;
	}
}

/*
 * The rest of path after prefix if all components of prefix begin it, or NULL.
 * The rest is empty or begins with a slash.
 */
static const char *after_prefix(const char *path, const char *prefix)
{
	while (*prefix == '/') {
		size_t n = strcspn(++prefix, "/");

		path = skip(path);
		if (strncmp(path, prefix, n) != 0)
			return NULL;
		path += n;
		if (*path != '/' && *path != '\0')
			return NULL;
		prefix += n;
	}
	return path;
}

/* A look that lets nearly every path go: /sys/... or /dev/... only. */
static bool worth_matching(const char *path)
{
	if (!env.root || !path || path[0] != '/')
		return false;
	path = skip(path);
	return strncmp(path, "sys/", 4) == 0 || strncmp(path, "dev/", 4) == 0;
}

const char *path_map(const char *path, char buffer[PATH_MAX])
{
	if (likely(!worth_matching(path)))
		return path;

	for (size_t i = 0; i < sizeof(rules) / sizeof(rules[0]); i++) {
		const struct rule *rule = &rules[i];
		const char *rest = after_prefix(path, rule->prefix);
		int n;

		if (!rest)
			continue;
		n = snprintf(buffer, PATH_MAX, "%s%s%s", env.root,
			     rule->instead ? rule->instead : rule->prefix, rest);
		if (n < PATH_MAX)
			return buffer;
		errno = ENAMETOOLONG;
		return NULL;
	}
	return path;
}

static bool begins(const char *text, size_t length, const char *with, size_t n)
{
	return length > n && memcmp(text, with, n) == 0 && text[n] == '/';
}

size_t path_strip_bytes(char *text, size_t length)
{
	size_t n = 0;

	if (!env.root)
		return length;
	if (begins(text, length, env.root, env.root_length))
		n = env.root_length;
	else if (begins(text, length, env.real_root, env.real_root_length))
		n = env.real_root_length;
	memmove(text, text + n, length - n);
	return length - n;
}

void path_strip(char *path)
{
	size_t length = strlen(path);

	path[path_strip_bytes(path, length)] = '\0';
}

bool path_is_uverbs(const char *mapped)
{
	const char *rest;

	if (!env.root || strncmp(mapped, env.root, env.root_length) != 0)
		return false;
	rest = after_prefix(mapped + env.root_length, UVERBS);
	return rest && *rest == '\0';
}

bool file_is_uverbs(const struct stat *file)
{
	static _Atomic dev_t device;
	static _Atomic ino_t inode;

	if (!env.root || !S_ISREG(file->st_mode))
		return false;

	if (unlikely(inode == 0)) {
		char path[PATH_MAX];
		struct stat placeholder;
		int saved = errno;

		if (snprintf(path, sizeof(path), "%s" UVERBS, env.root) >= PATH_MAX ||
		    REAL(stat)(path, &placeholder) != 0) {
			errno = saved;
			return false;
		}
		device = placeholder.st_dev;
		inode = placeholder.st_ino;
	}
	return file->st_ino == inode && file->st_dev == device;
}
