// Package image looks at what a container brings along: whether FreeFlow's library can be preloaded into
// a program, and whether the RDMA libraries that run on top of it are installed. It only reads files, in
// the file system of the calling process; it holds nothing and changes nothing.
package image
