package verbs_test

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/fabric/local"
	"github.com/freeflow-rdma/freeflow/internal/qos"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
	vt "github.com/freeflow-rdma/freeflow/internal/verbs/verbstest"
)

// TestDSCP: what a program sends without a traffic class gets that of its policy, connections and address handles that are there too; what
// the program asked for stays, and is what it is told.
func TestDSCP(t *testing.T) {
	nic := vt.New(t, local.Carrier{})
	a, b := nic.Program(t), nic.Program(t)
	qp := func(class uint8) (*vt.QP, *verbs.QP) {
		qa, qb := a.QP(verbs.TypeRC, a.CQ(10), 5), b.QP(verbs.TypeRC, b.CQ(10), 5)
		vt.Connect(qa, qb, func(x *verbs.QPAttr) { x.AV.TrafficClass = class })
		return qa, nic.Dev.QP(qa.QPN)
	}
	ud := nic.Dev.QP(a.QP(verbs.TypeUD, a.CQ(10), 5).QPN)
	ah := func(class uint8) uint32 {
		_, num, err := a.CreateAH(a.PD, verbs.AHAttr{IsGlobal: true, PortNum: 1, DGID: b.Cont.GIDs[0], TrafficClass: class})
		if err != nil {
			t.Fatal(err)
		}
		return num
	}
	plainQ, plain := qp(0)
	_, own := qp(12)
	plainAH, ownAH := ah(0), ah(12)
	for _, dscp := range []uint8{46, 10, 0, 46} {
		p := qos.Default()
		p.DSCP = dscp
		nic.Dev.SetParams(a.Cont, p)
		_, later := qp(0)
		got := []uint8{plain.Attr().AV.TrafficClass, own.Attr().AV.TrafficClass, later.Attr().AV.TrafficClass,
			ud.AV(plainAH).TrafficClass, ud.AV(ownAH).TrafficClass, ud.AV(ah(0)).TrafficClass}
		want := []uint8{dscp << 2, 12, dscp << 2, dscp << 2, 12, dscp << 2}
		for i := range got {
			if got[i] != want[i] {
				t.Errorf("DSCP %d: traffic classes %v, want %v", dscp, got, want)
				break
			}
		}
		attr, _, err := a.QueryQP(plainQ.Handle)
		if err != nil || attr.AV.TrafficClass != 0 {
			t.Errorf("the program is told %d, %v", attr.AV.TrafficClass, err)
		}
	}
}
