#include "freeze.h"

#include "env.h"
#include "orphan.h"
#include "real.h"

#include <errno.h>
#include <linux/userfaultfd.h>
#include <sys/syscall.h>

#ifndef UFFD_USER_MODE_ONLY
#define UFFD_USER_MODE_ONLY 1
#endif
#ifndef UFFD_FEATURE_WP_HUGETLBFS_SHMEM
#define UFFD_FEATURE_WP_HUGETLBFS_SHMEM (1 << 12)
#endif
#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)	/* Linux 6.4 */
#endif

/* A directory has a link for itself, one from its parent, and one a child. */
bool threads_exist(void)
{
	struct stat status;

	if (REAL(stat)("/proc/self/task", &status) != 0)
		return true;
	return status.st_nlink > 3 + (orphan_is_watching() ? 1 : 0);
}

/*
 * The best that is allowed: faults of system calls wait too (privileged, or
 * vm.unprivileged_userfaultfd), or those of user code only, in which case a
 * system call that writes there meanwhile fails with EFAULT.
 */
static int open_fault_fd(void)
{
	static const struct {
		int flags;
		unsigned long long features;
	} ways[] = {
		{ 0, UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED },
		{ UFFD_USER_MODE_ONLY,
		  UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM | UFFD_FEATURE_WP_UNPOPULATED },
		{ 0, UFFD_FEATURE_PAGEFAULT_FLAG_WP },
		{ UFFD_USER_MODE_ONLY, UFFD_FEATURE_PAGEFAULT_FLAG_WP },
	};

	for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
		struct uffdio_api api = { .api = UFFD_API, .features = ways[i].features };
		int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | ways[i].flags);

		if (fd < 0)
			continue;
		if (LIBC(ioctl)(fd, UFFDIO_API, &api) == 0)
			return fd;
		LIBC(close)(fd);
	}
	return -1;
}

void freeze_begin(struct freeze *freeze, void *start, size_t length)
{
	struct uffdio_range range = { (uintptr_t)start, length };
	struct uffdio_register registration = { .range = range, .mode = UFFDIO_REGISTER_MODE_WP };
	struct uffdio_writeprotect protect = { .range = range, .mode = UFFDIO_WRITEPROTECT_MODE_WP };

	freeze->fd = -1;
	if (!threads_exist())
		return;
	freeze->fd = open_fault_fd();
	if (freeze->fd < 0) {
		debug("no userfaultfd: writes during a registration may be lost");
		return;
	}
	if (LIBC(ioctl)(freeze->fd, UFFDIO_REGISTER, &registration) != 0 ||
	    LIBC(ioctl)(freeze->fd, UFFDIO_WRITEPROTECT, &protect) != 0) {
		debug("userfaultfd refuses: %m");
		freeze_end(freeze);
	}
}

/* Closing the descriptor wakes all who wait on it. */
void freeze_end(struct freeze *freeze)
{
	if (freeze->fd >= 0)
		LIBC(close)(freeze->fd);
	freeze->fd = -1;
}
