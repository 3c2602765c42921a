// Package policy works out what holds for a container, and who may talk to whom, from the policies that operators have written.
//
//	Subject    a container, or an address outside the cluster: what policies select       subject.go
//	Selector   which subjects a policy, or one side of a rule, means                       selector.go
//	Policy     one of five kinds: Access, Quota, RateLimit, Priority, EngineMode           policy.go, check.go, names.go
//	Set        all policies of a cluster, compiled: Params, Allowed, Pair, Explain         compile.go, params.go, access.go, explain.go
//	saying     one number of qos.Params that a policy gives                                saying.go
//	index      which of many selectors can match a subject, without asking each            index.go
//	           quantities as people write them: 5Gbit, 64KiB, 100k                         quantity.go
//
// Everything here is pure: values in, values out. Where policies come from (YAML, the API's messages, etcd) and who makes them true
// (verbs, engine, fabric) is not known here. A Set is immutable and may be used by any number of goroutines at once. docs/policies.md
// says to operators what is decided here.
package policy
