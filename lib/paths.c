#include "paths.h"

#include "env.h"
#include "real.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

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

static const struct {
	const char *path;
	unsigned int major, minor;
} devices[DEVICES] = {
	[DEVICE_UVERBS] = { UVERBS, 231, 192 },
	[DEVICE_RDMA_CM] = { RDMA_CM, 10, 60 },
};

dev_t device_number(enum device device)
{
	return makedev(devices[device].major, devices[device].minor);
}

enum device path_device(const char *mapped)
{
	if (!env.root || strncmp(mapped, env.root, env.root_length) != 0)
		return DEVICE_NONE;
	for (int i = DEVICE_NONE + 1; i < DEVICES; i++) {
		const char *rest = after_prefix(mapped + env.root_length, devices[i].path);

		if (rest && *rest == '\0')
			return i;
	}
	return DEVICE_NONE;
}

bool path_may_be_device(const char *path)
{
	const char *slash = strrchr(path, '/');
	const char *name = slash ? slash + 1 : path;

	for (int i = DEVICE_NONE + 1; i < DEVICES; i++)
		if (strcmp(name, strrchr(devices[i].path, '/') + 1) == 0)
			return true;
	return false;
}

static struct placeholder {
	_Atomic dev_t device;
	_Atomic ino_t inode;		/* 0: not looked at yet, or not there */
} placeholders[DEVICES];

static bool find_placeholder(int device)
{
	struct placeholder *placeholder = &placeholders[device];
	char path[PATH_MAX];
	struct stat status;
	int saved = errno;

	if (likely(placeholder->inode != 0))
		return true;
	if (snprintf(path, sizeof(path), "%s%s", env.root, devices[device].path) >= PATH_MAX ||
	    REAL(stat)(path, &status) != 0) {
		errno = saved;
		return false;
	}
	placeholder->device = status.st_dev;
	placeholder->inode = status.st_ino;
	return true;
}

enum device file_device(const struct stat *file)
{
	/* Placeholders are empty: so are few files, and those are looked at. */
	if (!env.root || !S_ISREG(file->st_mode) || file->st_size != 0)
		return DEVICE_NONE;
	for (int i = DEVICE_NONE + 1; i < DEVICES; i++)
		if (find_placeholder(i) && file->st_ino == placeholders[i].inode &&
		    file->st_dev == placeholders[i].device)
			return i;
	return DEVICE_NONE;
}
