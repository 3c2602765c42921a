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

/* Whether a path out of path_map() is the placeholder of the uverbs device. */
bool path_is_uverbs(const char *mapped);

/* Whether a file is that placeholder, reached by whatever name. */
bool file_is_uverbs(const struct stat *file);

#endif
