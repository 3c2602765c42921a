// Package api holds the orchestrator's API: protobuf files, and how Go code is made from them. The generated
// code is in freeflow/v1 and freeflow/v1/freeflowv1connect.
package api

//go:generate sh generate.sh
