package manifest

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
	"github.com/freeflow-rdma/freeflow/internal/policy"
)

// The kinds of policies. What a policy means is checked here already: a file is told everything that is wrong with it at once.

func init() {
	for kind, read := range map[policy.Kind]func(*object, *pb.Policy){
		policy.KindAccess: readAccess, policy.KindQuota: readQuota, policy.KindRateLimit: readRateLimit, policy.KindPriority: readPriority,
		policy.KindEngineMode: readEngineMode,
	} {
		kinds[kind.String()] = policyOf(kind, read)
	}
}

func policyOf(kind policy.Kind, read func(*object, *pb.Policy)) func(string, *object) *pb.Object {
	return func(name string, spec *object) *pb.Object {
		p := &pb.Policy{Name: name}
		if order, ok := spec.quantity("order", policy.ParseCount); ok {
			n := uint32(min(order, policy.MaxOrder+1)) // the check refuses it
			p.Order = &n
		}
		if kind != policy.KindAccess {
			p.Select = spec.selector("select")
		}
		read(spec, p)
		if len(spec.r.problems) == 0 {
			spec.checkPolicy(p)
		}
		return &pb.Object{Spec: &pb.Object_Policy{Policy: p}}
	}
}

func (o *object) checkPolicy(p *pb.Policy) {
	_, err := policies.Read(p)
	var field *policies.FieldError
	if errors.As(err, &field) {
		o.r.fail(lineOf(o.r.lines, field.Field, o.line), field.Field, "%s", field.Err)
	}
}

// selector is a field that selects; nil if it is not there.
func (o *object) selector(name string) *pb.Selector {
	part := o.part(name)
	if part == nil {
		return nil
	}
	s := &pb.Selector{
		Network: part.text("network", false), Tenant: part.text("tenant", false), Container: part.text("container", false),
		Labels: part.texts("labels"), Image: part.text("image", false), Host: part.text("host", false),
	}
	if strings.Contains(part.path, "rules[") {
		s.Cidr = part.text("cidr", false)
	}
	part.end()
	return s
}

func readAccess(spec *object, p *pb.Policy) {
	a := &pb.AccessPolicy{Network: spec.text("network", false), Default: spec.word("default", false, "allow", "deny")}
	if a.Network == "" {
		a.Network = "default"
	}
	for _, item := range spec.list("rules") {
		a.Rules = append(a.Rules, &pb.AccessRule{
			Action: item.word("action", true, "allow", "deny"), From: item.selector("from"), To: item.selector("to"),
		})
		item.end()
	}
	p.Spec = &pb.Policy_Access{Access: a}
}

func readQuota(spec *object, p *pb.Policy) {
	q := &pb.Quota{Scope: spec.word("scope", false, "container", "tenant"), Limits: make(map[string]uint64)}
	limits := spec.object("limits")
	for _, name := range policy.ResourceNames() {
		parse := policy.ParseCount
		if name == "mrBytes" {
			parse = policy.ParseBytes
		}
		if n, ok := limits.quantity(name, parse); ok {
			q.Limits[name] = n
		}
	}
	limits.end()
	p.Spec = &pb.Policy_Quota{Quota: q}
}

func readRateLimit(spec *object, p *pb.Policy) {
	l := &pb.RateLimit{Scope: spec.word("scope", false, "qp", "container", "tenant")}
	both, egress, ingress := spec.rate(), spec.part("egress"), spec.part("ingress")
	for name, part := range map[string]*object{"egress": egress, "ingress": ingress} {
		if part != nil && both != nil {
			spec.r.fail(part.line, part.path[:len(part.path)-1], "what stands directly under spec is for both directions: write that, or %s", name)
		}
	}
	l.Egress, l.Ingress = both, both
	if both == nil {
		l.Egress, l.Ingress = egress.rate(), ingress.rate()
	} else {
		for _, field := range rateFields {
			spec.r.alias("spec.egress."+field, "spec."+field)
			spec.r.alias("spec.ingress."+field, "spec."+field)
		}
	}
	egress.end()
	ingress.end()
	p.Spec = &pb.Policy_RateLimit{RateLimit: l}
}

var rateFields = []string{"rate", "messages", "burst"}

// rate reads the fields of a rate; nil if none is there.
func (o *object) rate() *pb.Rate {
	if o == nil {
		return nil
	}
	bits, hasBits := o.quantity("rate", policy.ParseRate)
	messages, hasMessages := o.quantity("messages", policy.ParseCount)
	burst, hasBurst := o.quantity("burst", policy.ParseBytes)
	if !hasBits && !hasMessages && !hasBurst {
		return nil
	}
	for i, zero := range []bool{hasBits && bits == 0, hasMessages && messages == 0, hasBurst && burst == 0} {
		if zero {
			o.r.fail(o.r.lines[o.path+rateFields[i]], o.path+rateFields[i], "0 does not stop anything: leave it out, or write an AccessPolicy that denies")
		}
	}
	return &pb.Rate{Bits: bits, Messages: messages, Burst: burst}
}

func readPriority(spec *object, p *pb.Policy) {
	m := &pb.Priority{Scope: spec.word("scope", false, "qp", "container", "tenant"), Class: spec.word("class", false, "high", "normal", "low")}
	if weight, ok := spec.quantity("weight", policy.ParseCount); ok {
		if m.Weight = uint32(min(weight, policy.MaxWeight+1)); weight == 0 {
			spec.r.fail(spec.r.lines["spec.weight"], "spec.weight", "0: want 1 to %d", policy.MaxWeight)
		}
	}
	if dscp, ok := spec.quantity("dscp", policy.ParseCount); ok {
		n := uint32(min(dscp, 1<<16))
		m.Dscp = &n
	}
	p.Spec = &pb.Policy_Priority{Priority: m}
}

func readEngineMode(spec *object, p *pb.Policy) {
	p.Spec = &pb.Policy_EngineMode{EngineMode: &pb.EngineMode{Mode: spec.word("mode", true, policy.EngineModes...)}}
}

// quantity is a field that parse reads; false if it is not there, or wrong.
func (o *object) quantity(name string, parse func(string) (uint64, error)) (uint64, bool) {
	node := o.scalar(name, false)
	if node == nil {
		return 0, false
	}
	n, err := parse(node.Value)
	if err != nil {
		o.r.fail(node.Line, o.path+name, "%s", err)
	}
	return n, err == nil
}

// word is a field that is one of some words; empty if it is not there.
func (o *object) word(name string, required bool, words ...string) string {
	text := o.text(name, required)
	if text != "" && !slices.Contains(words, text) {
		o.r.fail(o.r.lines[o.path+name], o.path+name, "%q: want %s", text, orList(words))
	}
	return text
}

// texts is a field whose fields are texts of any name; nil if it is not there.
func (o *object) texts(name string) map[string]string {
	part := o.part(name)
	if part == nil {
		return nil
	}
	all := make(map[string]string, len(part.order))
	for _, key := range part.order {
		all[key.Value] = part.text(key.Value, false)
	}
	return all
}

// list is a field that is a list of objects; nil if it is not there.
func (o *object) list(name string) (items []*object) {
	o.asked[name] = true
	node := o.fields[name]
	if node == nil {
		return nil
	}
	if !isList(node) {
		o.r.fail(node.Line, o.path+name, "want a list: each item with - before it")
		return nil
	}
	for i, item := range node.Content {
		path := fmt.Sprintf("%s%s[%d]", o.path, name, i)
		o.r.lines[path] = item.Line
		items = append(items, o.r.object(item, path+"."))
	}
	return items
}
