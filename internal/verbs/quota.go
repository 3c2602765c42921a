package verbs

import (
	"sync"
	"sync/atomic"
	"syscall"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Quotas. Whatever a program makes is claimed of its container and of the container's tenant before it is there, and given back when it is gone; a
// context remembers what it has claimed, for Close. Over quota a verb fails with ENOMEM, as on a NIC that is full, and the container counts
// what was denied. A quota that is lowered takes nothing away.

// account is what a container, or the containers of a tenant, have and may have. Under mu; a container's is taken before its tenant's.
type account struct {
	mu      sync.Mutex
	used    qos.Quota
	quota   qos.Quota // if bounded
	bounded bool
}

// fits reports whether n more of a resource are allowed. Under mu.
func (a *account) fits(r qos.Resource, n uint64) bool {
	return !a.bounded || a.quota[r] == qos.Unlimited || n <= a.quota[r] && a.used[r] <= a.quota[r]-n
}

// allow sets the quota.
func (a *account) allow(q qos.Quota) {
	a.mu.Lock()
	a.quota, a.bounded = q, true
	a.mu.Unlock()
}

// has gives what is used.
func (a *account) has() qos.Quota {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.used
}

// move adds or takes away everything that a container has, which goes to or leaves the tenant.
func (a *account) move(used *qos.Quota, joins bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i, n := range used {
		if joins {
			a.used[i] += n
		} else {
			a.used[i] -= n
		}
	}
}

// belongings is a container's account and what it was denied.
type belongings struct {
	account
	tenant *tenant // under account.mu; nil: none
	denied [qos.NumResources]atomic.Uint64
}

// claim takes n of a resource for the container; false: its quota or its tenant's has no room.
func (b *belongings) claim(r qos.Resource, n uint64) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := b.fits(r, n)
	if t := b.tenant; ok && t != nil {
		t.mu.Lock()
		if ok = t.fits(r, n); ok {
			t.used[r] += n
		}
		t.mu.Unlock()
	}
	if !ok {
		b.denied[r].Add(1)
		return false
	}
	b.used[r] += n
	return true
}

// giveBack undoes claim.
func (b *belongings) giveBack(r qos.Resource, n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used[r] -= n
	if t := b.tenant; t != nil {
		t.mu.Lock()
		t.used[r] -= n
		t.mu.Unlock()
	}
}

// deep reports whether a queue may have n entries, and counts if not.
func (b *belongings) deep(r qos.Resource, n uint32) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	ok := !b.bounded || uint64(n) <= b.quota[r]
	if t := b.tenant; ok && t != nil {
		t.mu.Lock()
		ok = !t.bounded || uint64(n) <= t.quota[r]
		t.mu.Unlock()
	}
	if !ok {
		b.denied[r].Add(1)
	}
	return ok
}

// join makes the container one of a tenant's, or of none's, with everything that it has.
func (b *belongings) join(t *tenant) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.tenant == t {
		return
	}
	if b.tenant != nil {
		b.tenant.move(&b.used, false)
	}
	if b.tenant = t; t != nil {
		t.move(&b.used, true)
	}
}

// AddCMIDs claims n identifiers of rdma_cm, or gives back -n. False: there is no room for them. Any goroutine.
func (c *Container) AddCMIDs(n int) bool {
	if n < 0 {
		c.goods.giveBack(qos.CMIDs, uint64(-n))
		return true
	}
	return c.goods.claim(qos.CMIDs, uint64(n))
}

// Used is what the container has of each resource. Any goroutine.
func (c *Container) Used() qos.Quota { return c.goods.has() }

// Denied is how often each resource was denied to the container. Any goroutine.
func (c *Container) Denied() (n [qos.NumResources]uint64) {
	for i := range n {
		n[i] = c.goods.denied[i].Load()
	}
	return n
}

// claim takes n of a resource for something in this context. ENOMEM if there is no room. The caller holds c.mu, or nobody else has the context.
func (c *Context) claim(r qos.Resource, n uint64) error {
	if !c.cont.goods.claim(r, n) {
		return syscall.ENOMEM
	}
	c.claimed[r] += n
	return nil
}

// giveBack undoes claim. The caller holds c.mu.
func (c *Context) giveBack(r qos.Resource, n uint64) {
	c.claimed[r] -= n
	c.cont.goods.giveBack(r, n)
}

// giveAll gives back what is still claimed.
func (c *Context) giveAll() {
	for r, n := range c.claimed {
		if n > 0 {
			c.giveBack(qos.Resource(r), n)
		}
	}
}

// deep checks the depth of a queue that is asked for.
func (c *Context) deep(r qos.Resource, n uint32) error {
	if !c.cont.goods.deep(r, n) {
		return syscall.ENOMEM
	}
	return nil
}
