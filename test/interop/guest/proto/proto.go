// Package proto is what a test and the agent in a guest say to each other: JSON values, one after the other, over a virtio
// serial port. The test asks with Requests, the agent answers with Reports; both name the script by a number of the test's.
package proto

// Port is the serial port in the guest.
const Port = "/dev/vport0p1"

// Modules is the file in the initramfs' root that lists the kernel modules to load, a path a line, in order.
const Modules = "/modules.list"

// Request starts a script, or kills one.
type Request struct {
	ID     int    // above zero
	Script string `json:",omitempty"` // for /bin/sh
	Stdin  []byte `json:",omitempty"`
	Kill   bool   `json:",omitempty"` // kill the process group of script ID
}

// Report is news of a script. ID zero is the agent's own, once, when it is ready; Output then says what went wrong before.
type Report struct {
	ID     int
	Output []byte `json:",omitempty"` // of both stdout and stderr
	Ended  bool   `json:",omitempty"`
	Status int    `json:",omitempty"` // exit status, or 128 and the number of the signal
}
