// Package manifest reads the files that operators write for `freeflow apply`: YAML documents, one an object.
//
//	apiVersion: freeflow/v1
//	kind: Network
//	metadata:
//	  name: blue
//	spec:
//	  cidr: 10.78.0.0/16
//
// Reading is strict: a field that a kind does not have, a field given twice, a missing one or one of the wrong sort is an
// error that names file, line and field; so are YAML's anchors and aliases. Whether the values make
// sense is the orchestrator's to say, but for policies, which are checked here too; Document.Error turns its answer into the same kind of
// error. Format writes policies as Parse reads them.
//
// A new kind is one more entry in kinds.
package manifest
