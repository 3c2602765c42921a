package policy

import (
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Kind is what a policy rules.
type Kind uint8

// The kinds.
const (
	KindAccess Kind = iota + 1
	KindQuota
	KindRateLimit
	KindPriority
	KindEngineMode
)

// Kinds are all of them, in the order of lists.
var Kinds = []Kind{KindAccess, KindQuota, KindRateLimit, KindPriority, KindEngineMode}

// String is the kind as files name it.
func (k Kind) String() string {
	switch k {
	case KindAccess:
		return "AccessPolicy"
	case KindQuota:
		return "Quota"
	case KindRateLimit:
		return "RateLimit"
	case KindPriority:
		return "Priority"
	case KindEngineMode:
		return "EngineMode"
	}
	return "unknown kind"
}

// MarshalText is part of encoding.TextMarshaler: the kind as files name it.
func (k Kind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// DefaultOrder is that of a policy that gives none.
const DefaultOrder = 100

// Policy is one. Names are unique within a kind.
type Policy struct {
	Name   string
	Order  uint32   // lower ones come first
	Select Selector // whom it is about; nobody reads it of an Access
	Spec   Spec
}

// Kind is that of the policy.
func (p Policy) Kind() Kind {
	if p.Spec == nil {
		return 0
	}
	return p.Spec.kind()
}

// Spec is what a policy says: an Access, Quota, RateLimit, Priority or EngineMode.
type Spec interface{ kind() Kind }

// Scope is what counts together.
type Scope uint8

// The scopes. Tenant: all containers of a tenant on one host.
const (
	ScopeContainer Scope = iota
	ScopeQP
	ScopeTenant
)

func (s Scope) String() string { return [...]string{"container", "qp", "tenant"}[s] }

// Verdict is what a rule says of a connection. The zero value: nothing.
type Verdict uint8

// The verdicts.
const (
	Allow Verdict = iota + 1
	Deny
)

func (v Verdict) String() string { return [...]string{"", "allow", "deny"}[v] }

// Access says who may talk to whom in a network.
type Access struct {
	Network string
	Default Verdict // of the network, where no rule of any policy matches; zero: another policy says it, or nobody, which is Allow
	Rules   []Rule
}

// Rule allows or denies what From begins with To.
type Rule struct {
	Action   Verdict
	From, To Selector
}

// Quota bounds how many objects there may be. Scope is container or tenant.
type Quota struct {
	Scope  Scope
	Limits map[qos.Resource]uint64
}

// RateLimit bounds flows.
type RateLimit struct {
	Scope Scope
	qos.Limits
}

// Priority orders flows.
type Priority struct {
	Scope  Scope  // of the weight
	Class  *uint8 // qos.ClassLow to qos.ClassHigh; nil: not said
	Weight uint32 // 0: not said
	DSCP   *uint8 // nil: not said
}

// EngineMode is how the engine works: auto, fast or low.
type EngineMode string

func (Access) kind() Kind     { return KindAccess }
func (Quota) kind() Kind      { return KindQuota }
func (RateLimit) kind() Kind  { return KindRateLimit }
func (Priority) kind() Kind   { return KindPriority }
func (EngineMode) kind() Kind { return KindEngineMode }
