// Package mem reaches registered memory: pages shared with the router are plain memory here, everything else is
// read and written through the process' /proc/PID/mem, and Copy moves bytes between any two of them.
//
// A Process is bound to one address space for life: the mem file was opened when the process connected, so neither reuse of its
// PID nor an exec of something with more rights can turn an access to it into an access to something else (docs/design/0003).
// That is why it is used instead of process_vm_readv, which names its target by PID.
//
// Spans are values, made and used by one goroutine within one slice of work; the mapped memory they point to
// stays valid until the workers have quiesced.
package mem
