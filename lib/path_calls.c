/*
 * The calls that take a path, one line each: the path is mapped (paths.h), the
 * rest is libc's. glibc's own fopen(), opendir(), scandir(), glob() and
 * realpath() call its internal open(), so each has to be here by itself.
 */
#include "channel.h"
#include "context.h"
#include "env.h"
#include "paths.h"

#include <errno.h>
#include <stdarg.h>
#include <string.h>

int __open_2(const char *path, int flags);
int __open64_2(const char *path, int flags);
int __openat_2(int directory, const char *path, int flags);
int __openat64_2(int directory, const char *path, int flags);
char *__realpath_chk(const char *path, char *resolved, size_t room);
ssize_t __readlink_chk(const char *path, char *buffer, size_t length, size_t room);
ssize_t __readlinkat_chk(int directory, const char *path, char *buffer, size_t length, size_t room);
int eaccess(const char *path, int mode);

/* Why this thread's last attempt to open the device failed. */
static __thread int refused;

static int open_device(enum device device, int flags)
{
	int fd = device == DEVICE_RDMA_CM ? channel_open(flags) : context_open(flags);

	refused = fd < 0 ? errno : 0;
	return fd;
}

static int open_at(int directory, const char *path, int flags, mode_t mode)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);
	enum device device = DEVICE_NONE;
	struct stat status;
	int fd;

	if (!mapped)
		return -1;
	if (unlikely(env.root && mapped == buffer && !(flags & O_PATH)))
		device = path_device(mapped);
	if (device != DEVICE_NONE)
		return REAL(access)(mapped, F_OK) == 0 ? open_device(device, flags) : -1;

	fd = REAL(openat)(directory, mapped, flags, mode);
	/* Relative to a directory that is the tree's own. */
	if (unlikely(env.root && fd >= 0 && !(flags & O_PATH) && path[0] != '/' && path_may_be_device(path)) &&
	    LIBC(fstat)(fd, &status) == 0 && (device = file_device(&status)) != DEVICE_NONE) {
		LIBC(close)(fd);
		fd = open_device(device, flags);
	}
	return fd;
}

#define MODE_ARGUMENT(flags, mode)						\
	mode_t mode = 0;							\
	if (((flags) & O_CREAT) || ((flags) & O_TMPFILE) == O_TMPFILE) {	\
		va_list args;							\
		va_start(args, flags);						\
		mode = (mode_t)va_arg(args, int);				\
		va_end(args);							\
	}

EXPORT int open(const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_at(AT_FDCWD, path, flags, mode);
}

EXPORT int open64(const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_at(AT_FDCWD, path, flags | O_LARGEFILE, mode);
}

EXPORT int openat(int directory, const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_at(directory, path, flags, mode);
}

EXPORT int openat64(int directory, const char *path, int flags, ...)
{
	MODE_ARGUMENT(flags, mode)
	return open_at(directory, path, flags | O_LARGEFILE, mode);
}

EXPORT int __open_2(const char *path, int flags)
{
	return open_at(AT_FDCWD, path, flags, 0);
}

EXPORT int __open64_2(const char *path, int flags)
{
	return open_at(AT_FDCWD, path, flags | O_LARGEFILE, 0);
}

EXPORT int __openat_2(int directory, const char *path, int flags)
{
	return open_at(directory, path, flags, 0);
}

EXPORT int __openat64_2(int directory, const char *path, int flags)
{
	return open_at(directory, path, flags | O_LARGEFILE, 0);
}

EXPORT FILE *fopen(const char *path, const char *mode)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped ? REAL(fopen)(mapped, mode) : NULL;
}

EXPORT FILE *fopen64(const char *path, const char *mode)
{
	return fopen(path, mode);
}

EXPORT FILE *freopen(const char *path, const char *mode, FILE *stream)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped || !path ? REAL(freopen)(mapped, mode, stream) : NULL;
}

EXPORT FILE *freopen64(const char *path, const char *mode, FILE *stream)
{
	return freopen(path, mode, stream);
}

EXPORT DIR *opendir(const char *path)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped ? REAL(opendir)(mapped) : NULL;
}

EXPORT int scandir(const char *path, struct dirent ***names,
		   int (*filter)(const struct dirent *),
		   int (*compare)(const struct dirent **, const struct dirent **))
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped ? REAL(scandir)(mapped, names, filter, compare) : -1;
}

/* struct dirent64 is struct dirent where off_t has 64 bits. */
EXPORT int scandir64(const char *path, struct dirent64 ***names,
		     int (*filter)(const struct dirent64 *),
		     int (*compare)(const struct dirent64 **, const struct dirent64 **))
{
	return scandir(path, (struct dirent ***)(void *)names,
		       (int (*)(const struct dirent *))(void *)filter,
		       (int (*)(const struct dirent **, const struct dirent **))(void *)compare);
}

EXPORT int glob(const char *restrict pattern, int flags, int (*failed)(const char *, int),
		glob_t *restrict found)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(pattern, buffer);
	int result;

	if (!mapped)
		return GLOB_NOSPACE;
	result = REAL(glob)(mapped, flags, failed, found);
	if (mapped != pattern && (result == 0 || result == GLOB_ABORTED)) {
		size_t from = flags & GLOB_DOOFFS ? found->gl_offs : 0;

		for (size_t i = 0; i < found->gl_pathc; i++)
			path_strip(found->gl_pathv[from + i]);
	}
	return result;
}

EXPORT int glob64(const char *restrict pattern, int flags, int (*failed)(const char *, int),
		  glob64_t *restrict found)
{
	_Static_assert(sizeof(glob_t) == sizeof(glob64_t), "a 64-bit system");
	return glob(pattern, flags, failed, (glob_t *)found);
}

EXPORT int access(const char *path, int mode)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped ? REAL(access)(mapped, mode) : -1;
}

EXPORT int faccessat(int directory, const char *path, int mode, int flags)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped ? REAL(faccessat)(directory, mapped, mode, flags) : -1;
}

EXPORT int euidaccess(const char *path, int mode)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	return mapped ? REAL(euidaccess)(mapped, mode) : -1;
}

EXPORT int eaccess(const char *path, int mode)
{
	return euidaccess(path, mode);
}

EXPORT ssize_t readlinkat(int directory, const char *restrict path, char *restrict text, size_t room)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);
	ssize_t n = mapped ? REAL(readlinkat)(directory, mapped, text, room) : -1;

	return n > 0 && mapped != path ? (ssize_t)path_strip_bytes(text, (size_t)n) : n;
}

EXPORT ssize_t readlink(const char *restrict path, char *restrict text, size_t room)
{
	return readlinkat(AT_FDCWD, path, text, room);
}

EXPORT ssize_t __readlinkat_chk(int directory, const char *path, char *text, size_t length, size_t room)
{
	if (length > room)
		abort();
	return readlinkat(directory, path, text, length);
}

EXPORT ssize_t __readlink_chk(const char *path, char *text, size_t length, size_t room)
{
	return __readlinkat_chk(AT_FDCWD, path, text, length, room);
}

EXPORT char *realpath(const char *restrict path, char *restrict resolved)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);
	char *result;

	if (!mapped && path)
		return NULL;
	result = REAL(realpath)(mapped, resolved);
	if (result && mapped != path)
		path_strip(result);
	return result;
}

EXPORT char *__realpath_chk(const char *path, char *resolved, size_t room)
{
	if (resolved && room < PATH_MAX)
		abort();
	return realpath(path, resolved);
}

EXPORT char *canonicalize_file_name(const char *path)
{
	return realpath(path, NULL);
}

/*
 * rdma-core, refused the device, waits five seconds for /dev/char to bring it.
 * It need not: the answer stands.
 */
EXPORT int inotify_add_watch(int fd, const char *path, uint32_t mask)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);

	if (unlikely(refused && strncmp(path, "/dev/char", strlen("/dev/char")) == 0)) {
		errno = refused;
		refused = 0;
		return -1;
	}
	return mapped ? REAL(inotify_add_watch)(fd, mapped, mask) : -1;
}
