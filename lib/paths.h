/*
 * The virtual files: which paths are answered from the container's private
 * tree, and what names of the tree look like to the program.
 *
 * Pure string work, but for the identity of the device's placeholder file.
 */
#ifndef FF_PATHS_H
#define FF_PATHS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/stat.h>

/*
 * The path to give to libc instead of path: path itself, or, for a virtual
 * one, its place in the private tree, written to buffer. NULL with errno
 * ENAMETOOLONG if that does not fit.
 */
const char *path_map(const char *path, char buffer[PATH_MAX]);

/* Removes the private tree's root from a path found there, in place. */
void path_strip(char *path);

/* The same for text of a known length that no zero ends: the new length. */
size_t path_strip_bytes(char *text, size_t length);

/* The virtual devices: each has a placeholder file in the tree. */
enum device { DEVICE_NONE, DEVICE_UVERBS, DEVICE_RDMA_CM, DEVICES };

/* The device whose placeholder a path out of path_map() is. */
enum device path_device(const char *mapped);

/* The device whose placeholder a file is, reached by whatever name. */
enum device file_device(const struct stat *file);

/* Whether a path's last component is the name of a device. */
bool path_may_be_device(const char *path);

/* The number that sysfs gives for the device. */
dev_t device_number(enum device device);

#endif
