package orchestrator

import (
	"testing"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

func network(name, cidr string, vni uint32) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Network{Network: &pb.Network{Name: name, Cidr: cidr, Vni: vni}}}
}

func reservation(network, name, ip string) *pb.Object {
	return &pb.Object{Spec: &pb.Object_Container{Container: &pb.Container{Network: network, Name: name, Ip: ip}}}
}

// apply applies, and returns what was done in one letter an object.
func (w *world) apply(dry bool, objects ...*pb.Object) (string, []*pb.Object, error) {
	r, err := w.stores[0].Apply(w.ctx, &pb.ApplyRequest{Objects: objects, DryRun: dry})
	if err != nil {
		return "", nil, err
	}
	did := ""
	for _, a := range r.Actions {
		did += map[pb.ApplyResponse_Action]string{pb.ApplyResponse_ACTION_CREATED: "+", pb.ApplyResponse_ACTION_CHANGED: "~", pb.ApplyResponse_ACTION_UNCHANGED: "="}[a]
	}
	return did, r.Objects, nil
}

func TestApply(t *testing.T) {
	w := newWorld(t, 2)
	w.keep(w.host("a"))
	for _, c := range []struct {
		name    string
		dry     bool
		objects []*pb.Object
		want    string
	}{
		{"dry run", true, []*pb.Object{network("n", "10.9.0.0/24", 0)}, "+"},
		{"network and address in it", false, []*pb.Object{network("n", "10.9.0.0/24", 0), reservation("n", "db", "10.9.0.9")}, "++"},
		{"the same", false, []*pb.Object{network("n", "10.9.0.0/24", 0), reservation("n", "db", "10.9.0.9")}, "=="},
		{"same addresses, another network", false, []*pb.Object{network("m", "10.9.0.0/24", 77)}, "+"},
		{"wider", false, []*pb.Object{network("n", "10.9.0.0/16", 0)}, "~"},
		{"another address", false, []*pb.Object{reservation("n", "db", "10.9.7.7")}, "~"},
	} {
		if got, _, err := w.apply(c.dry, c.objects...); err != nil || got != c.want {
			t.Fatalf("%s: %q, %v, want %q", c.name, got, err, c.want)
		}
		w.consistent()
	}
	r := request("db")
	r.Network = "n"
	if c, _, err := w.stores[1].Register(w.ctx, "a", r); err != nil || c.Ip != "10.9.7.7" {
		t.Fatalf("the container got %v, %v", c, err)
	}
	w.current()
	for _, c := range []struct {
		field   string
		objects []*pb.Object
	}{
		{"spec.cidr", []*pb.Object{network("n", "10.9.0.0/24", 0)}}, // db would be outside
		{"spec.vni", []*pb.Object{network("n", "10.9.0.0/16", 5)}},  // it stays
		{"spec.vni", []*pb.Object{network("k", "10.9.0.0/16", 77)}}, // m's
		{"spec.vni", []*pb.Object{network("k", "10.9.0.0/16", 1<<24)}},
		{"spec.cidr", []*pb.Object{network("k", "10.9.0.1/16", 0)}},
		{"spec.cidr", []*pb.Object{network("k", "10.9.0.0/31", 0)}},
		{"spec.cidr", []*pb.Object{network("k", "fd00::/64", 0)}},
		{"spec.cidr", []*pb.Object{network("k", "", 0)}},
		{"metadata.name", []*pb.Object{network("k/l", "10.9.0.0/16", 0)}},
		{"metadata.name", []*pb.Object{network("k", "10.9.0.0/16", 0), network("k", "10.9.0.0/16", 0)}},
		{"spec.network", []*pb.Object{reservation("none", "x", "10.9.0.1")}},
		{"spec.ip", []*pb.Object{reservation("n", "x", "10.8.0.1")}},
		{"spec.ip", []*pb.Object{reservation("n", "x", "10.9.7.7")}},
		{"spec.ip", []*pb.Object{reservation("n", "db", "10.9.7.8")}}, // it runs
		{"kind", []*pb.Object{{}}},
	} {
		_, _, err := w.apply(false, append(c.objects, network("z", "10.1.0.0/16", 0))...)
		wrong := WrongField(err)
		if wrong == nil || wrong.Field != c.field || int(wrong.Object) != len(c.objects)-1 {
			t.Errorf("%v: %v, want field %s", c.objects, err, c.field)
		}
	}
	if w.stores[0].mirror.nets["z"] != nil {
		t.Error("some of the objects were applied")
	}
}

func TestDeleteNetworkAndReservation(t *testing.T) {
	w := newWorld(t, 1)
	a := w.host("a")
	w.keep(a)
	s := w.stores[0]
	if _, _, err := w.apply(false, network("n", "10.9.0.0/24", 9), reservation("n", "db", "10.9.0.9")); err != nil {
		t.Fatal(err)
	}
	refused(t, s.DeleteNetwork(w.ctx, "default"), connect.CodeFailedPrecondition)
	refused(t, s.DeleteNetwork(w.ctx, "none"), connect.CodeNotFound)
	refused(t, s.DeleteNetwork(w.ctx, "n"), connect.CodeFailedPrecondition, "has containers")
	r := request("db")
	r.Network = "n"
	if _, _, err := s.Register(w.ctx, "a", r); err != nil {
		t.Fatal(err)
	}
	refused(t, s.DeleteContainer(w.ctx, Name{"n", "db"}), connect.CodeFailedPrecondition, "runs on host a")
	if err := s.Unregister(w.ctx, "a", Name{"n", "db"}, "i"); err != nil {
		t.Fatal(err)
	}
	if err := s.DeleteContainer(w.ctx, Name{"n", "db"}); err != nil {
		t.Fatal(err)
	}
	refused(t, s.DeleteContainer(w.ctx, Name{"n", "db"}), connect.CodeNotFound)
	if err := s.DeleteNetwork(w.ctx, "n"); err != nil {
		t.Fatal(err)
	}
	if got, objects, err := w.apply(false, network("n", "10.9.0.0/24", 9)); err != nil || got != "+" {
		t.Fatalf("its number is not free: %v, %v", objects, err)
	}
	w.consistent()
}

func TestMemoryMap(t *testing.T) {
	w := newWorld(t, 1)
	a, b := w.host("a"), w.host("b")
	w.keep(b)
	s := w.stores[0]
	w.register("a", "x")
	mr := func(id uint64, container string) *pb.MR {
		return &pb.MR{Host: "liar", Id: id, Network: "default", Container: container, Length: 4096}
	}
	list := func() (ids []uint64) {
		t.Helper()
		items, _, err := s.MRs(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range items {
			if i.GetMr().Host != "a" {
				t.Fatalf("region of %s", i.GetMr().Host)
			}
			ids = append(ids, i.GetMr().Id)
		}
		return ids
	}
	report := func(host string, r *pb.ReportMRsRequest) {
		t.Helper()
		if err := s.ReportMRs(w.ctx, host, r); err != nil {
			t.Fatal(err)
		}
	}
	var many []*pb.MR
	for id := range uint64(300) {
		many = append(many, mr(id, "x"))
	}
	report("a", &pb.ReportMRsRequest{Reset_: true, Added: many})
	if got := list(); len(got) != 300 || got[17] != 17 {
		t.Fatalf("%d regions", len(got))
	}
	report("b", &pb.ReportMRsRequest{Reset_: true, Added: []*pb.MR{mr(1, "x"), mr(2, "none")}, Removed: []uint64{5}}) // x is not b's
	if got := list(); len(got) != 300 {
		t.Fatalf("%d regions after another host's lies", len(got))
	}
	if err := s.RevokeMR(w.ctx, "a", 7); err != nil {
		t.Fatal(err)
	}
	refused(t, s.RevokeMR(w.ctx, "a", 3000), connect.CodeNotFound)
	if len(s.mirror.revoked) != 1 {
		t.Fatal("the revocation is not told")
	}
	report("a", &pb.ReportMRsRequest{Removed: []uint64{7, 7, 8}, Added: []*pb.MR{mr(7, "x")}})
	w.current()
	if got := list(); len(got) != 298 || len(s.mirror.revoked) != 0 {
		t.Fatalf("%d regions, %d revocations", len(got), len(s.mirror.revoked))
	}
	w.leave(a)
	if got := list(); len(got) != 0 {
		t.Fatalf("%d regions of a host that is gone", len(got))
	}
	refused(t, s.ReportMRs(w.ctx, "a", &pb.ReportMRsRequest{Added: many}), connect.CodeFailedPrecondition)
}
