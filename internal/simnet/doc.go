// Package simnet is a network for tests: links with a rate, a delay and a queue, which lose, double, reorder and spoil packets, all in virtual
// time and by a seed, so that a run which fails can be run again.
//
// It knows nothing of what the packets are. Everything happens in Step, in the caller's goroutine.
package simnet
