/*
 * The stat family. A device's placeholder is a regular file, and its opened
 * descriptor a memory file or a socket; the program is told that both are the
 * character device that sysfs speaks of.
 */
#include "channel.h"
#include "context.h"
#include "paths.h"

#include <errno.h>
#include <string.h>
#include <sys/sysmacros.h>

int __xstat(int version, const char *path, struct stat *status);
int __xstat64(int version, const char *path, struct stat64 *status);
int __lxstat(int version, const char *path, struct stat *status);
int __lxstat64(int version, const char *path, struct stat64 *status);
int __fxstat(int version, int fd, struct stat *status);
int __fxstat64(int version, int fd, struct stat64 *status);
int __fxstatat(int version, int directory, const char *path, struct stat *status, int flags);
int __fxstatat64(int version, int directory, const char *path, struct stat64 *status, int flags);

_Static_assert(sizeof(struct stat) == sizeof(struct stat64), "a 64-bit system");

static void disguise(struct stat *status, enum device device)
{
	status->st_mode = S_IFCHR | 0666;
	status->st_rdev = device_number(device);
	status->st_size = 0;
	status->st_blocks = 0;
}

/* The device that a descriptor is the program's handle of. */
static enum device visible_device(int fd)
{
	struct context *context = context_of(fd);

	if (unlikely(context))
		return context_owns(context, fd) ? DEVICE_UVERBS : DEVICE_NONE;
	if (unlikely(fd_entry(fd) == FD_CM))
		return channel_owns(fd) ? DEVICE_RDMA_CM : DEVICE_NONE;
	return DEVICE_NONE;
}

static int stat_at(int directory, const char *path, struct stat *status, int flags)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);
	enum device device;
	int result;

	if (!mapped && path)
		return -1;
	result = REAL(fstatat)(directory, mapped, status, flags);
	if (result != 0)
		return result;
	device = file_device(status);
	if (device == DEVICE_NONE && directory >= 0 && (flags & AT_EMPTY_PATH) && (!path || !*path))
		device = visible_device(directory);
	if (device != DEVICE_NONE)
		disguise(status, device);
	return 0;
}

EXPORT int stat(const char *restrict path, struct stat *restrict status)
{
	return stat_at(AT_FDCWD, path, status, 0);
}

EXPORT int stat64(const char *restrict path, struct stat64 *restrict status)
{
	return stat_at(AT_FDCWD, path, (struct stat *)status, 0);
}

EXPORT int lstat(const char *restrict path, struct stat *restrict status)
{
	return stat_at(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}

EXPORT int lstat64(const char *restrict path, struct stat64 *restrict status)
{
	return stat_at(AT_FDCWD, path, (struct stat *)status, AT_SYMLINK_NOFOLLOW);
}

EXPORT int fstatat(int directory, const char *restrict path, struct stat *restrict status, int flags)
{
	return stat_at(directory, path, status, flags);
}

EXPORT int fstatat64(int directory, const char *restrict path, struct stat64 *restrict status, int flags)
{
	return stat_at(directory, path, (struct stat *)status, flags);
}

EXPORT int fstat(int fd, struct stat *status)
{
	int result = REAL(fstat)(fd, status);
	enum device device = result == 0 ? visible_device(fd) : DEVICE_NONE;

	if (device != DEVICE_NONE)
		disguise(status, device);
	return result;
}

EXPORT int fstat64(int fd, struct stat64 *status)
{
	return fstat(fd, (struct stat *)status);
}

/* Programs built before glibc 2.33; the version is always the machine's. */
EXPORT int __xstat(int version, const char *path, struct stat *status)
{
	(void)version;
	return stat_at(AT_FDCWD, path, status, 0);
}

EXPORT int __xstat64(int version, const char *path, struct stat64 *status)
{
	return __xstat(version, path, (struct stat *)status);
}

EXPORT int __lxstat(int version, const char *path, struct stat *status)
{
	(void)version;
	return stat_at(AT_FDCWD, path, status, AT_SYMLINK_NOFOLLOW);
}

EXPORT int __lxstat64(int version, const char *path, struct stat64 *status)
{
	return __lxstat(version, path, (struct stat *)status);
}

EXPORT int __fxstat(int version, int fd, struct stat *status)
{
	(void)version;
	return fstat(fd, status);
}

EXPORT int __fxstat64(int version, int fd, struct stat64 *status)
{
	return __fxstat(version, fd, (struct stat *)status);
}

EXPORT int __fxstatat(int version, int directory, const char *path, struct stat *status, int flags)
{
	(void)version;
	return stat_at(directory, path, status, flags);
}

EXPORT int __fxstatat64(int version, int directory, const char *path, struct stat64 *status, int flags)
{
	return __fxstatat(version, directory, path, (struct stat *)status, flags);
}

EXPORT int statx(int directory, const char *restrict path, int flags, unsigned int mask,
		 struct statx *restrict status)
{
	char buffer[PATH_MAX];
	const char *mapped = path_map(path, buffer);
	struct stat plain = { 0 };
	enum device device;
	int result;

	if (!mapped)
		return -1;
	result = REAL(statx)(directory, mapped, flags, mask | STATX_INO | STATX_TYPE | STATX_SIZE, status);
	if (result != 0)
		return result;

	plain.st_mode = status->stx_mode;
	plain.st_ino = status->stx_ino;
	plain.st_size = (off_t)status->stx_size;
	plain.st_dev = makedev(status->stx_dev_major, status->stx_dev_minor);
	device = file_device(&plain);
	if (device == DEVICE_NONE && directory >= 0 && (flags & AT_EMPTY_PATH) && !*path)
		device = visible_device(directory);
	if (device != DEVICE_NONE) {
		status->stx_mode = S_IFCHR | 0666;
		status->stx_rdev_major = major(device_number(device));
		status->stx_rdev_minor = minor(device_number(device));
		status->stx_size = 0;
		status->stx_blocks = 0;
	}
	return 0;
}
