// Package shm makes the memory that the router shares with containers: sealed memfds, and arenas that hand out pieces
// of one memfd.
//
// Every file is made by the router and sealed against shrinking before anybody else has it, so that no
// container can take pages away from under a mapping (which would be SIGBUS in the router). A container may write any
// byte of it at any time; what is read from it is checked by the reader, not here.
//
// An Arena belongs to one context; its methods may be called from any goroutine. Pointers that At returns stay valid
// until the piece is freed, so the owner frees only after the workers have quiesced.
package shm
