// Package interop tests FreeFlow against the kernel's Soft-RoCE, in Linux guests under QEMU (package guest): what a container says
// to a peer that has never heard of FreeFlow must be RoCEv2 as others speak it.
//
// TestGuests runs the same programs between two guests. It shows that a row which fails against FreeFlow is not the row's
// own fault.
package interop
