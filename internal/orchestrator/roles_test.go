package orchestrator

import (
	"context"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
	"github.com/freeflow-rdma/freeflow/internal/orchestrator/ca"
)

// procedures are all methods of all services of the API.
func procedures() []string {
	var list []string
	for _, file := range []protoreflect.FileDescriptor{
		pb.File_freeflow_v1_router_proto, pb.File_freeflow_v1_cluster_proto, pb.File_freeflow_v1_usage_proto, pb.File_freeflow_v1_audit_proto,
		pb.File_freeflow_v1_policy_proto, pb.File_freeflow_v1_state_proto,
	} {
		for i := range file.Services().Len() {
			service := file.Services().Get(i)
			for j := range service.Methods().Len() {
				list = append(list, "/"+string(service.FullName())+"/"+string(service.Methods().Get(j).Name()))
			}
		}
	}
	return list
}

func TestEveryMethodHasRoles(t *testing.T) {
	known := make(map[string]bool)
	for _, p := range procedures() {
		known[p] = true
		if methods[p] == 0 {
			t.Errorf("%s: nobody has decided who may call it", p)
		}
	}
	for p := range methods {
		if !known[p] {
			t.Errorf("%s is in the table and not in the API", p)
		}
	}
}

// Each role against each method: who is let in is who the table names, and a role that has more rights can do what one with fewer can.
func TestRolesAgainstMethods(t *testing.T) {
	a := access{}
	for _, p := range procedures() {
		for _, role := range []ca.Role{"", "rubbish", ca.RoleOrchestrator, ca.RoleViewer, ca.RoleOperator, ca.RoleAdmin} {
			ctx := context.WithValue(context.Background(), callerKey{}, caller{Identity: ca.Identity{Role: role, Name: "x"}})
			err := a.check(ctx, p, nil)
			want := methods[p]&anybody != 0 || methods[p]&roleSets[role] != 0
			if (err == nil) != want {
				t.Errorf("%q calls %s: %v", role, p, err)
			}
		}
		if r := methods[p]; r&viewers != 0 && r&operators == 0 || r&operators != 0 && r&admins == 0 {
			t.Errorf("%s: a lower role may call it and a higher one may not", p)
		}
	}
	if err := a.check(context.Background(), "/freeflow.v1.NoService/None", nil); err == nil {
		t.Error("a method that is not in the table was let in")
	}
}

func TestHostsAreAdminsToDelete(t *testing.T) {
	r := &pb.DeleteRequest{Ref: &pb.Ref{Kind: pb.Kind_KIND_HOST, Name: "h"}}
	for role, want := range map[ca.Role]bool{ca.RoleViewer: false, ca.RoleOperator: false, ca.RoleAdmin: true} {
		ctx := context.WithValue(context.Background(), callerKey{}, caller{Identity: ca.Identity{Role: role}})
		if err := (access{}).check(ctx, "/freeflow.v1.ClusterService/Delete", r); (err == nil) != want {
			t.Errorf("%s: %v", role, err)
		}
	}
}

// What somebody gave to say who they are counts against them if it is no good, whatever else they may be.
func TestBadCredentialsAreRefused(t *testing.T) {
	refused := failf(connect.CodeUnauthenticated, "revoked")
	ctx := context.WithValue(context.Background(), callerKey{}, caller{refused: refused})
	if err := (access{}).check(ctx, "/freeflow.v1.ClusterService/List", nil); connect.CodeOf(err) != connect.CodeUnauthenticated {
		t.Error(err)
	}
}

func TestTriesAreBounded(t *testing.T) {
	tr, now := newTries(), time.Unix(0, 0)
	allowed := 0
	for range 100 {
		if tr.allow("a", now) {
			allowed++
		}
	}
	if allowed != triesBurst {
		t.Errorf("%d at once from one address", allowed)
	}
	if !tr.allow("b", now) {
		t.Error("another address was refused for it")
	}
	if !tr.allow("a", now.Add(2*time.Second)) {
		t.Error("nothing after two seconds")
	}
	for i := range 3 * triesSources {
		tr.allow(string(rune(i)), now)
	}
	if len(tr.each) > triesSources {
		t.Errorf("%d addresses are remembered", len(tr.each))
	}
}
