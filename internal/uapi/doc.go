// Package uapi is the kernel's user-space RDMA ABI: the uverbs write() commands of rdma/ib_user_verbs.h with
// Soft-RoCE's driver data (uverbs_*.go), the offsets of the rings of rdma/rdma_user_rxe.h (rxe.go), and the commands and events of
// rdma_cm of rdma/rdma_user_cm.h (rdmacm*.go, sockaddr.go).
//
// It knows layouts and lengths, and nothing else: no objects, no limits, no I/O, no unsafe. ParseCommand and ParseUCM take the bytes that a
// program wrote, hostile ones included, checks every length as the kernel does, and splits them; Decode
// and Response turn core structures and driver data into Go structs of the same layout and back.
// Each struct here names the C struct that it mirrors, each field the member, and a test holds all of them, and every ring
// offset, against the headers that the C compiler finds.
//
// All integers are in host byte order, which on the machines that FreeFlow runs on is little endian. Nothing here keeps
// state, so any goroutine may call it. Decoded structs are copies; a Command's slices alias what was parsed.
package uapi
