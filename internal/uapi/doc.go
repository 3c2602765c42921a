// Package uapi is the kernel's user-space RDMA ABI as typed byte slices: the uverbs write() commands of
// rdma/ib_user_verbs.h with Soft-RoCE's driver data, and the rings of rdma/rdma_user_rxe.h.
//
// It knows layouts and lengths, and nothing else: no objects, no limits, no I/O. Decoders take the bytes that a program
// wrote, hostile ones included, check every length, and give a small struct or errno EINVAL; encoders give
// response bytes. Names follow the headers' (uverbs_*.go for commands, rxe.go for rings), and a test holds
// every offset and size here against the headers that the C compiler finds.
//
// All integers are in host byte order, which on the machines that FreeFlow runs on is little endian. Nothing here keeps
// state, so any goroutine may call it; getters read the slice they are called on and copy nothing.
package uapi
