// Package rows has programs of others that meet over RDMA-CM, as a server and as a client run them: rdmacm-utils, perftest, qperf. What
// each row expects is what the programs do between two Linux kernels with Soft-RoCE; package interop runs them there too.
//
// A row is run by Between, wherever its two sides are: containers of one host or of two, or guests. Who knows how to begin a
// script in such a place implements Place. Nothing here starts a process by itself.
package rows
