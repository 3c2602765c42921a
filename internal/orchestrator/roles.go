package orchestrator

import (
	"context"
	"strings"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/api/freeflow/v1/freeflowv1connect"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// roles is a set of those who may call a method.
type roles uint8

const (
	anybody roles = 1 << iota // without saying who
	routers                   // by certificate, as long as the host has no newer one
	viewers
	operators
	admins

	readers  = viewers | operators | admins
	changers = operators | admins
)

// methods is who may call what: all methods of all services. What is not in it is nobody's.
var methods = map[string]roles{
	freeflowv1connect.RouterServiceJoinProcedure:                anybody, // with a join token
	freeflowv1connect.RouterServiceRenewProcedure:               routers,
	freeflowv1connect.RouterServiceHeartbeatProcedure:           routers,
	freeflowv1connect.RouterServiceWatchProcedure:               routers,
	freeflowv1connect.RouterServiceRegisterContainerProcedure:   routers,
	freeflowv1connect.RouterServiceUnregisterContainerProcedure: routers,
	freeflowv1connect.RouterServiceSyncContainersProcedure:      routers,
	freeflowv1connect.RouterServiceReportMRsProcedure:           routers,

	freeflowv1connect.ClusterServiceListProcedure:        readers,
	freeflowv1connect.ClusterServiceWatchProcedure:       readers,
	freeflowv1connect.ClusterServiceApplyProcedure:       changers,
	freeflowv1connect.ClusterServiceDeleteProcedure:      changers, // of hosts: see mayDelete
	freeflowv1connect.ClusterServiceRevokeMRProcedure:    changers,
	freeflowv1connect.ClusterServiceCreateTokenProcedure: admins,

	freeflowv1connect.UsageServiceReportProcedure:    routers,
	freeflowv1connect.UsageServiceGetProcedure:       readers,
	freeflowv1connect.UsageServiceLiveProcedure:      readers,
	freeflowv1connect.UsageServiceWatchLiveProcedure: readers,
	freeflowv1connect.UsageServiceInspectProcedure:   readers,
	freeflowv1connect.UsageServicePoliciesProcedure:  readers,

	freeflowv1connect.AuditServiceListProcedure:  changers,
	freeflowv1connect.AuditServiceWatchProcedure: changers,

	freeflowv1connect.AccessServiceLoginProcedure:            anybody, // with a token
	freeflowv1connect.AccessServiceLogoutProcedure:           anybody,
	freeflowv1connect.AccessServiceWhoAmIProcedure:           anybody, // nobody hears that he is nobody
	freeflowv1connect.AccessServiceCreateCredentialProcedure: admins,
	freeflowv1connect.AccessServiceListCredentialsProcedure:  changers,
	freeflowv1connect.AccessServiceRevokeCredentialProcedure: admins,
}

// roleSets are the sets of one that certificates and tokens name.
var roleSets = map[ca.Role]roles{ca.RoleRouter: routers, ca.RoleViewer: viewers, ca.RoleOperator: operators, ca.RoleAdmin: admins}

// people are the roles of tokens, and of client certificates that are no host's.
var people = map[pb.Role]ca.Role{
	pb.Role_ROLE_VIEWER: ca.RoleViewer, pb.Role_ROLE_OPERATOR: ca.RoleOperator, pb.Role_ROLE_ADMIN: ca.RoleAdmin,
}

// shownRole is a role as the API names it.
func shownRole(r ca.Role) pb.Role {
	switch r {
	case ca.RoleViewer:
		return pb.Role_ROLE_VIEWER
	case ca.RoleOperator:
		return pb.Role_ROLE_OPERATOR
	case ca.RoleAdmin:
		return pb.Role_ROLE_ADMIN
	case ca.RoleRouter:
		return pb.Role_ROLE_ROUTER
	}
	return pb.Role_ROLE_UNSPECIFIED
}

// wanted says what a method needs, for those who lack it.
func (r roles) wanted() string {
	switch {
	case r&routers != 0 && r&readers == 0:
		return "a router's certificate"
	case r&viewers != 0:
		return "the role viewer, operator or admin"
	case r&operators != 0:
		return "the role operator or admin"
	}
	return "the role admin"
}

// check says whether a caller may call a method; message is the request, if it is at hand.
func (a access) check(ctx context.Context, procedure string, message any) error {
	c := callerOf(ctx)
	allowed, known := methods[procedure]
	switch {
	case !known:
		return failf(connect.CodePermissionDenied, "%s is nobody's to call", procedure)
	case allowed&anybody != 0:
		return nil
	case c.refused != nil:
		return c.refused
	case roleSets[c.Role]&allowed == 0:
		return deny(c, allowed.wanted())
	case c.Role == ca.RoleRouter:
		return a.store.Member(ctx, c.Identity, c.cert)
	}
	if r, ok := message.(*pb.DeleteRequest); ok {
		return mayDelete(c, r)
	}
	return nil
}

// mayDelete keeps hosts to admins: what takes a host's access away is no change of policy.
func mayDelete(c caller, r *pb.DeleteRequest) error {
	if r.GetRef().GetKind() == pb.Kind_KIND_HOST && c.Role != ca.RoleAdmin {
		return deny(c, "the role admin")
	}
	return nil
}

func deny(c caller, want string) error {
	switch {
	case c.Role == "":
		return failf(connect.CodeUnauthenticated, "this needs %s: log in, or give a token or a certificate", want)
	case c.cert != nil:
		return failf(connect.CodePermissionDenied, "this needs %s; the certificate is for %s %s", want, c.Role, c.Name)
	}
	return failf(connect.CodePermissionDenied, "this needs %s; you are %s %s", want, c.Role, c.Name)
}

// methodName is a procedure as people write it: "ClusterService.Apply".
func methodName(procedure string) string {
	return strings.ReplaceAll(strings.TrimPrefix(procedure, "/freeflow.v1."), "/", ".")
}
