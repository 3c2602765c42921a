package policy

import (
	"slices"
	"strings"

	"github.com/freeflow-rdma/freeflow/internal/qos"
)

// resources are the names of what quotas count, as files write them, by qos.Resource.
var resources = [qos.NumResources]string{
	qos.Contexts: "contexts", qos.PDs: "pds", qos.CQs: "cqs", qos.MRs: "mrs", qos.MRBytes: "mrBytes", qos.QPs: "qps", qos.SRQs: "srqs",
	qos.AHs: "ahs", qos.MWs: "mws", qos.McastGroups: "multicast", qos.CMIDs: "cmIds", qos.CQDepth: "cqDepth", qos.QPDepth: "qpDepth",
}

// ResourceName is how files name what a quota counts.
func ResourceName(r qos.Resource) string { return resources[r] }

// ResourceNames are all of them.
func ResourceNames() []string { return slices.Clone(resources[:]) }

// ParseResource reads such a name.
func ParseResource(name string) (qos.Resource, bool) {
	i := slices.Index(resources[:], name)
	return qos.Resource(max(i, 0)), i >= 0
}

func resourceWords() string { return strings.Join(resources[:], ", ") }

// classes are the names of the classes of priority, by their number.
var classes = [qos.NumClasses]string{qos.ClassLow: "low", qos.ClassNormal: "normal", qos.ClassHigh: "high"}

// ClassName is how files name a class of priority.
func ClassName(class uint8) string { return classes[class] }

// ParseClass reads such a name.
func ParseClass(name string) (uint8, bool) {
	i := slices.Index(classes[:], name)
	return uint8(max(i, 0)), i >= 0
}

// ParseScope reads a scope; empty is container.
func ParseScope(name string) (Scope, bool) {
	for _, s := range []Scope{ScopeContainer, ScopeQP, ScopeTenant} {
		if name == s.String() || name == "" {
			return s, true
		}
	}
	return 0, false
}

// ParseVerdict reads allow or deny.
func ParseVerdict(name string) (Verdict, bool) {
	switch name {
	case "allow":
		return Allow, true
	case "deny":
		return Deny, true
	}
	return 0, false
}
