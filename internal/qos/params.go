// Package qos is how much of the host a container may have: quotas of objects, limits of rates, and shares of what is scarce.
//
// What holds for a container is Params, which package policy works out from what operators have written. Everything here is pure: time
// is an argument, nothing blocks.
package qos

// Resource is what a quota counts, or bounds.
type Resource uint8

// The resources. Depths bound each queue; the others count what a container, or all containers of a tenant, have at a time.
const (
	Contexts Resource = iota
	PDs
	CQs
	MRs
	MRBytes // registered
	QPs     // and SRQs do not count
	SRQs
	AHs
	MWs
	McastGroups // attachments
	CMIDs
	CQDepth
	QPDepth // work requests of either queue
	NumResources
)

// Unlimited is a quota that is none.
const Unlimited = ^uint64(0)

// Quota holds the most there may be of each resource.
type Quota [NumResources]uint64

// NoQuota bounds nothing.
func NoQuota() (q Quota) {
	for i := range q {
		q[i] = Unlimited
	}
	return q
}

// Rate bounds a flow, per second. 0: no bound.
type Rate struct {
	Bits     uint64 // of payload
	Messages uint64
	Burst    uint64 // bytes that may go at once after a pause; 0: what 10 ms bring, at least 64 KiB
}

// Limits are of the two directions, as the container sees them.
type Limits struct{ Egress, Ingress Rate }

// Classes of priority, strict: a class is served when no higher one has work.
const (
	ClassLow uint8 = iota
	ClassNormal
	ClassHigh
	NumClasses
)

// Params is what holds for one container. The zero value is not valid: see Default.
type Params struct {
	Tenant               string // the containers of one tenant share what is the tenant's
	Quota, TenantQuota   Quota
	QP, Container, All   Limits // of each queue pair, of the container, of its tenant's containers on this host together
	Class                uint8
	QPWeight             uint32 // of each of its queue pairs beside each other
	Weight, TenantWeight uint32 // of the container in its tenant, of the tenant on the host
	DSCP                 uint8  // of packets whose program asks for none
	Mode                 string // of the engine; empty: the host's
}

// Default is what holds where nobody has written anything.
func Default() Params {
	return Params{Quota: NoQuota(), TenantQuota: NoQuota(), Class: ClassNormal, QPWeight: 1, Weight: 1, TenantWeight: 1}
}
