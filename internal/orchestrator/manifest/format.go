package manifest

import (
	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/policies"
	"github.com/freeflow-rdma/freeflow/internal/policy"
	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// Written is a policy as a document: encoded as JSON, of which YAML is made, it is what Parse reads.
type Written struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name string `json:"name"`
	} `json:"metadata"`
	Spec spec `json:"spec"`
}

// spec has the fields of all kinds, in the order in which they are written.
type spec struct {
	Select  *selector      `json:"select,omitempty"`
	Network string         `json:"network,omitempty"`
	Order   *uint32        `json:"order,omitempty"`
	Scope   string         `json:"scope,omitempty"`
	Limits  map[string]any `json:"limits,omitempty"`
	*rate
	Egress  *rate   `json:"egress,omitempty"`
	Ingress *rate   `json:"ingress,omitempty"`
	Class   string  `json:"class,omitempty"`
	Weight  uint32  `json:"weight,omitempty"`
	DSCP    *uint32 `json:"dscp,omitempty"`
	Mode    string  `json:"mode,omitempty"`
	Default string  `json:"default,omitempty"`
	Rules   []rule  `json:"rules,omitempty"`
}

type selector struct {
	Network   string            `json:"network,omitempty"`
	Tenant    string            `json:"tenant,omitempty"`
	Container string            `json:"container,omitempty"`
	Labels    map[string]string `json:"labels,omitempty"`
	Image     string            `json:"image,omitempty"`
	Host      string            `json:"host,omitempty"`
	CIDR      string            `json:"cidr,omitempty"`
}

type rate struct {
	Rate     string `json:"rate,omitempty"`
	Messages any    `json:"messages,omitempty"`
	Burst    any    `json:"burst,omitempty"`
}

type rule struct {
	Action string    `json:"action"`
	From   *selector `json:"from,omitempty"`
	To     *selector `json:"to,omitempty"`
}

// Format is the policy as a document.
func Format(p *pb.Policy) Written {
	p = policies.Normal(p)
	w := Written{APIVersion: APIVersion, Kind: policies.KindName(policies.KindOf(p))}
	w.Metadata.Name = p.Name
	w.Spec = spec{Select: written(p.Select), Order: p.Order}
	switch s := p.Spec.(type) {
	case *pb.Policy_Access:
		w.Spec.Network, w.Spec.Default = s.Access.GetNetwork(), s.Access.GetDefault()
		for _, r := range s.Access.GetRules() {
			w.Spec.Rules = append(w.Spec.Rules, rule{r.Action, written(r.From), written(r.To)})
		}
	case *pb.Policy_Quota:
		w.Spec.Scope, w.Spec.Limits = s.Quota.GetScope(), make(map[string]any)
		for name, n := range s.Quota.GetLimits() {
			w.Spec.Limits[name] = shortest(n, policy.FormatCount)
			if name == policy.ResourceName(qos.MRBytes) {
				w.Spec.Limits[name] = shortest(n, policy.FormatBytes)
			}
		}
	case *pb.Policy_RateLimit:
		w.Spec.Scope, w.Spec.Egress, w.Spec.Ingress = s.RateLimit.GetScope(), writtenRate(s.RateLimit.Egress), writtenRate(s.RateLimit.Ingress)
		if e, i := w.Spec.Egress, w.Spec.Ingress; e != nil && i != nil && *e == *i {
			w.Spec.rate, w.Spec.Egress, w.Spec.Ingress = e, nil, nil
		}
	case *pb.Policy_Priority:
		w.Spec.Scope, w.Spec.Class, w.Spec.Weight, w.Spec.DSCP = s.Priority.GetScope(), s.Priority.GetClass(), s.Priority.GetWeight(), s.Priority.Dscp
	case *pb.Policy_EngineMode:
		w.Spec.Mode = s.EngineMode.GetMode()
	}
	return w
}

func written(s *pb.Selector) *selector {
	if s == nil {
		return nil
	}
	return &selector{s.Network, s.Tenant, s.Container, s.Labels, s.Image, s.Host, s.Cidr}
}

func writtenRate(r *pb.Rate) *rate {
	if r == nil {
		return nil
	}
	w := &rate{}
	if r.Bits != 0 {
		w.Rate = policy.FormatRate(r.Bits)
	}
	if r.Messages != 0 {
		w.Messages = shortest(r.Messages, policy.FormatCount)
	}
	if r.Burst != 0 {
		w.Burst = shortest(r.Burst, policy.FormatBytes)
	}
	return w
}

// shortest is a number without a unit as a number, any other as a text.
func shortest(n uint64, format func(uint64) string) any {
	if text := format(n); text != "" && (text[len(text)-1] < '0' || text[len(text)-1] > '9') {
		return text
	}
	return n
}
