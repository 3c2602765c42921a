package bench

import (
	"context"
	"fmt"
	"time"
)

// Many policies, none of which selects who is measured, though all have to be asked about it.
const (
	policiesEach  = 250 // of each kind
	policiesRatio = 0.97
	policiesSize  = 64 << 10
)

// policyKinds are the kinds, with a specification of the i-th.
var policyKinds = []struct {
	name string
	spec func(i int) string
}{
	{"RateLimit", func(i int) string {
		return fmt.Sprintf("{select: {container: c-%d*}, rate: %dMbit}", i, i+1)
	}},
	{"Quota", func(i int) string {
		return fmt.Sprintf("{select: {labels: {app: app-%d, tier: gold}}, limits: {qps: %d}}", i, i+1)
	}},
	{"Priority", func(i int) string {
		return fmt.Sprintf("{select: {tenant: t-%d}, scope: tenant, weight: %d}", i, i+1)
	}},
	{"AccessPolicy", func(i int) string {
		return fmt.Sprintf("{network: default, default: allow, rules: [{action: deny, from: {labels: {app: app-%d}}, to: {container: db-*}}]}", i)
	}},
}

// policies compares the data path under a thousand policies with itself under none, one after the other in each round.
func (a *acceptance) policies(ctx context.Context) error {
	return a.o.rounds(ctx, "policies", "auto", func(w *World, server, client *Container) error {
		none, err := underPolicies(ctx, server, client)
		if err != nil {
			return err
		}
		start := time.Now()
		if err := w.applyMany(ctx); err != nil {
			return err
		}
		took := time.Since(start)
		time.Sleep(settle)
		many, err := underPolicies(ctx, server, client)
		if err != nil {
			return err
		}
		n := policiesEach * len(policyKinds)
		a.atLeast(fmt.Sprintf("%d policies: ib_write_bw, 64 KiB, with ÷ without", n), policiesRatio, many.rate/none.rate, "×")
		a.atLeast(fmt.Sprintf("%d policies: ib_send_lat -s 2, without ÷ with", n), policiesRatio, none.wait/many.wait, "×")
		a.show(fmt.Sprintf("%d policies: freeflow apply", n), took.Seconds()*1000, "ms")
		return w.forgetMany(ctx)
	})
}

// underPolicy is what is measured with and without: bit/s, and microseconds.
type underPolicy struct{ rate, wait float64 }

func underPolicies(ctx context.Context, server, client *Container) (u underPolicy, err error) {
	b, err := MeasureBandwidth(ctx, server, client, "write", policiesSize, 2)
	if err != nil {
		return u, err
	}
	l, err := MeasureLatency(ctx, server, client, "send", 2, 50_000)
	return underPolicy{b.Average, l.Typical}, err
}

func (w *World) applyMany(ctx context.Context) error {
	for _, k := range policyKinds {
		var specs []string
		for i := range policiesEach {
			specs = append(specs, k.spec(i))
		}
		if err := w.Apply(ctx, k.name, specs...); err != nil {
			return err
		}
	}
	return nil
}

func (w *World) forgetMany(ctx context.Context) error {
	for _, k := range policyKinds {
		if err := w.Forget(ctx, k.name, policiesEach); err != nil {
			return err
		}
	}
	return nil
}
