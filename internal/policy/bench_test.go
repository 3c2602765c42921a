package policy

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

const many = 1000

// manyPolicies are a thousand such as an operator of many tenants has: each kind, selecting by name, pattern, label, tenant.
func manyPolicies() (list []Policy) {
	for i := range many {
		s := Selector{Container: fmt.Sprint("c-", i)}
		switch i % 4 {
		case 1:
			s = Selector{Container: fmt.Sprintf("c-%d*", i)}
		case 2:
			s = Selector{Labels: map[string]string{"app": fmt.Sprint("app-", i%50), "tier": "gold"}}
		case 3:
			s = Selector{Tenant: fmt.Sprint("t-", i%20)}
		}
		p := Policy{Name: fmt.Sprint("p-", i), Order: DefaultOrder, Select: s}
		switch i % 5 {
		case 0:
			p.Spec = RateLimit{ScopeContainer, qos.Limits{Egress: qos.Rate{Bits: uint64(i+1) * 1e6}}}
		case 1:
			p.Spec = Quota{ScopeContainer, map[qos.Resource]uint64{qos.QPs: uint64(i), qos.MRBytes: 1 << 30}}
		case 2:
			p.Spec = Priority{Weight: uint32(1 + i%1000)}
		case 3:
			p.Spec, p.Select.Tenant = EngineMode("low"), ""
		default:
			p.Spec, p.Select = Access{Network: "default", Rules: []Rule{
				{Deny, Selector{Labels: map[string]string{"app": fmt.Sprint("app-", i%50)}}, s},
				{Allow, s, Selector{Container: fmt.Sprint("db-", i%7)}},
				{Allow, s, Selector{CIDR: netip.PrefixFrom(netip.AddrFrom4([4]byte{192, 0, byte(i), 0}), 24)}},
			}}, Selector{}
		}
		list = append(list, p)
	}
	list[4].Spec = Access{Network: "default", Default: Deny}
	return list
}

func manySubjects() (list []Subject) {
	for i := range many {
		list = append(list, Subject{Network: "default", Tenant: fmt.Sprint("t-", i%20), Name: fmt.Sprint("c-", i), Host: fmt.Sprint("h-", i%16),
			Labels: map[string]string{"app": fmt.Sprint("app-", i%50), "tier": "gold", "image": "x"}})
	}
	return list
}

func BenchmarkCompile(b *testing.B) {
	list := manyPolicies()
	for b.Loop() {
		if _, err := Compile(list); err != nil {
			b.Fatal(err)
		}
	}
}

// All containers of a thousand under a thousand policies.
func BenchmarkParams(b *testing.B) {
	set, _ := Compile(manyPolicies())
	subjects := manySubjects()
	b.ReportAllocs()
	for b.Loop() {
		for _, c := range subjects {
			set.Params(c)
		}
	}
}

func BenchmarkAllowed(b *testing.B) {
	set, _ := Compile(manyPolicies())
	subjects := manySubjects()
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		set.Allowed(subjects[i%many], subjects[(i*7+1)%many])
		i++
	}
}

func BenchmarkPairOutside(b *testing.B) {
	set, _ := Compile(manyPolicies())
	subjects, outside := manySubjects(), Outside(netip.MustParseAddr("192.0.77.5"))
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		set.Pair(subjects[i%many], outside)
		i++
	}
}

// Asking allocates nothing: it is done for each of many containers.
func TestAskingDoesNotAllocate(t *testing.T) {
	set, err := Compile(manyPolicies())
	if err != nil {
		t.Fatal(err)
	}
	a, b := manySubjects()[3], manySubjects()[44]
	if n := testing.AllocsPerRun(100, func() { set.Allowed(a, b); set.Pair(a, b); set.Params(a) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
