package router

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"math"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

var rewrite = flag.Bool("rewrite", false, "rewrite testdata/dispatch.txt")

// write is what a program writes: request struct, driver data, and the room it leaves for core response and driver data.
type write struct {
	cmd           uapi.Cmd
	req, uhw      any
	room, uhwRoom int
}

func (w write) bytes() []byte {
	var core, uhw []byte
	if w.req != nil {
		core = uapi.Encode(w.req)
	}
	if w.uhw != nil {
		uhw = uapi.Encode(w.uhw)
	}
	b := binary.LittleEndian.AppendUint32(nil, uint32(w.cmd))
	if w.cmd&uapi.FlagExtended == 0 {
		b = binary.LittleEndian.AppendUint16(b, uint16((8+len(core)+len(uhw))/4))
		b = binary.LittleEndian.AppendUint16(b, uint16((w.room+w.uhwRoom)/4))
		return append(append(b, core...), uhw...)
	}
	b = binary.LittleEndian.AppendUint16(b, uint16(len(core)/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(w.room/8))
	b = binary.LittleEndian.AppendUint64(b, 0x7fff00001000)
	b = binary.LittleEndian.AppendUint16(b, uint16(len(uhw)/8))
	b = binary.LittleEndian.AppendUint16(b, uint16(w.uhwRoom/8))
	return append(append(binary.LittleEndian.AppendUint32(b, 0), core...), uhw...)
}

var spec = uapi.QPSpec{
	UserHandle: 1, PDHandle: 2, SendCQHandle: 3, RecvCQHandle: 4, SRQHandle: 5, MaxSendWR: 6, MaxRecvWR: 7,
	MaxSendSGE: 8, MaxRecvSGE: 9, MaxInlineData: 10, SQSigAll: 1, QPType: 2, IsSRQ: 1,
}

var modify = uapi.ModifyQP{
	Dest: uapi.QPDest{DGID: [16]byte{1, 15: 2}, FlowLabel: 3, DLID: 4, SGIDIndex: 5, HopLimit: 6, TrafficClass: 7, SL: 8,
		SrcPathBits: 9, StaticRate: 10, IsGlobal: 1, PortNum: 1},
	AltDest:  uapi.QPDest{DGID: [16]byte{11, 15: 12}, PortNum: 13},
	QPHandle: 14, AttrMask: 0x1fffff, QKey: 15, RQPSN: 0xff000010, SQPSN: 17, DestQPNum: 18, QPAccessFlags: 19, PKeyIndex: 20,
	AltPKeyIndex: 21, QPState: 3, CurQPState: 2, PathMTU: 5, PathMigState: 1, EnSQDAsyncNotify: 1, MaxRdAtomic: 22,
	MaxDestRdAtomic: 23, MinRNRTimer: 24, PortNum: 1, Timeout: 25, RetryCnt: 26, RNRRetry: 27, AltPortNum: 28, AltTimeout: 29,
}

// writes has one of each command, and those that are refused here.
var writes = []write{
	{cmd: uapi.CmdGetContext, req: uapi.GetContext{}, room: 8},
	{cmd: uapi.CmdQueryDevice, req: uapi.QueryDevice{}, room: 176},
	{cmd: uapi.CmdExQueryDevice, req: uapi.ExQueryDevice{}, room: 304},
	{cmd: uapi.CmdExQueryDevice, req: uapi.ExQueryDevice{CompMask: 1}, room: 304},
	{cmd: uapi.CmdQueryPort, req: uapi.QueryPort{PortNum: 1}, room: 40},
	{cmd: uapi.CmdQueryPort, req: uapi.QueryPort{PortNum: 2}, room: 40},
	{cmd: uapi.CmdAllocPD, req: uapi.AllocPD{}, room: 4},
	{cmd: uapi.CmdDeallocPD, req: uapi.DeallocPD{PDHandle: 9}},
	{cmd: uapi.CmdRegMR, req: uapi.RegMR{Start: 0x1000, Length: 2, HCAVA: 3, PDHandle: 4, AccessFlags: 5}, room: 12},
	{cmd: uapi.CmdReregMR, req: uapi.ReregMR{}, room: 8},
	{cmd: uapi.CmdDeregMR, req: uapi.DeregMR{MRHandle: 9}},
	{cmd: uapi.CmdAllocMW, req: uapi.AllocMW{PDHandle: 8, MWType: 2}, room: 8},
	{cmd: uapi.CmdDeallocMW, req: uapi.DeallocMW{MWHandle: 9}},
	{cmd: uapi.CmdCreateCompChannel, req: uapi.CreateCompChannel{}, room: 4},
	{cmd: uapi.CmdCreateCQ, req: uapi.CreateCQ{UserHandle: 5, CQE: 6, CompVector: 7, CompChannel: -1}, room: 8, uhwRoom: 16},
	{cmd: uapi.CmdCreateCQ, req: uapi.CreateCQ{UserHandle: 5, CQE: 6, CompChannel: 3}, room: 8, uhwRoom: 16},
	{cmd: uapi.CmdCreateCQ, req: uapi.CreateCQ{UserHandle: 5, CQE: 6, CompChannel: -1}, room: 8, uhwRoom: 8},
	{cmd: uapi.CmdExCreateCQ, req: uapi.ExCreateCQ{UserHandle: 5, CQE: 6, CompVector: 7, CompChannel: 3}, room: 16, uhwRoom: 16},
	{cmd: uapi.CmdExCreateCQ, req: uapi.ExCreateCQ{CQE: 6, CompChannel: -1, Flags: 1}, room: 16, uhwRoom: 16},
	{cmd: uapi.CmdExCreateCQ, req: uapi.ExCreateCQ{CQE: 6, CompChannel: -1, CompMask: 1}, room: 16, uhwRoom: 16},
	{cmd: uapi.CmdResizeCQ, req: uapi.ResizeCQ{CQHandle: 8, CQE: 9}, room: 8, uhwRoom: 16},
	{cmd: uapi.CmdDestroyCQ, req: uapi.DestroyCQ{CQHandle: 9}, room: 8},
	{cmd: uapi.CmdReqNotifyCQ, req: uapi.ReqNotifyCQ{CQHandle: 9, SolicitedOnly: 1}},
	{cmd: uapi.CmdCreateQP, req: uapi.CreateQP{QPSpec: spec}, room: 32, uhwRoom: 32},
	{cmd: uapi.CmdCreateQP, req: uapi.CreateQP{QPSpec: spec}, room: 32},
	{cmd: uapi.CmdExCreateQP, req: uapi.ExCreateQP{QPSpec: spec}, room: 40, uhwRoom: 32},
	{cmd: uapi.CmdExCreateQP, req: uapi.ExCreateQP{QPSpec: spec, CompMask: 1}, room: 40, uhwRoom: 32},
	{cmd: uapi.CmdExCreateQP, req: uapi.ExCreateQP{QPSpec: spec, CreateFlags: 2}, room: 40, uhwRoom: 32},
	{cmd: uapi.CmdExCreateQP, req: uapi.ExCreateQP{QPSpec: spec, SourceQPN: 1}, room: 40, uhwRoom: 32},
	{cmd: uapi.CmdQueryQP, req: uapi.QueryQP{QPHandle: 9}, room: 128},
	{cmd: uapi.CmdModifyQP, req: modify},
	{cmd: uapi.CmdModifyQP, req: uapi.ModifyQP{AttrMask: 1 << 25}},
	{cmd: uapi.CmdExModifyQP, req: uapi.ExModifyQP{Base: uapi.ModifyQP{QPHandle: 9, AttrMask: 1}}, room: 8},
	{cmd: uapi.CmdExModifyQP, req: uapi.ExModifyQP{Base: uapi.ModifyQP{AttrMask: 1 << 25}, RateLimit: 1}, room: 8},
	{cmd: uapi.CmdDestroyQP, req: uapi.DestroyQP{QPHandle: 9}, room: 4},
	{cmd: uapi.CmdPostSend, req: uapi.PostSend{QPHandle: 9}, room: 4},
	{cmd: uapi.CmdPostSend, req: uapi.PostSend{QPHandle: 9, WRCount: 1}, room: 4},
	{cmd: uapi.CmdAttachMcast, req: uapi.AttachMcast{GID: [16]byte{0xff, 15: 1}, QPHandle: 8, MLID: 9}},
	{cmd: uapi.CmdDetachMcast, req: uapi.AttachMcast{GID: [16]byte{0xff, 15: 1}, QPHandle: 8, MLID: 9}},
	{cmd: uapi.CmdCreateSRQ, req: uapi.CreateSRQ{UserHandle: 5, PDHandle: 6, MaxWR: 7, MaxSGE: 8, SRQLimit: 9}, room: 16, uhwRoom: 24},
	{cmd: uapi.CmdCreateSRQ, req: uapi.CreateSRQ{}, room: 16, uhwRoom: 16},
	{cmd: uapi.CmdCreateXSRQ, req: uapi.CreateXSRQ{UserHandle: 5, PDHandle: 6, MaxWR: 7, MaxSGE: 8, SRQLimit: 9}, room: 16, uhwRoom: 24},
	{cmd: uapi.CmdCreateXSRQ, req: uapi.CreateXSRQ{SRQType: 1}, room: 16, uhwRoom: 24},
	{cmd: uapi.CmdModifySRQ, req: uapi.ModifySRQ{SRQHandle: 6, AttrMask: 1, MaxWR: 8, SRQLimit: 9}, uhw: uapi.ModifySRQUHW{MMapInfoAddr: 5}},
	{cmd: uapi.CmdModifySRQ, req: uapi.ModifySRQ{SRQHandle: 6, AttrMask: 2, SRQLimit: 9}, uhw: uapi.ModifySRQUHW{MMapInfoAddr: 5}},
	{cmd: uapi.CmdModifySRQ, req: uapi.ModifySRQ{SRQHandle: 6, AttrMask: 1, MaxWR: 8}},
	{cmd: uapi.CmdQuerySRQ, req: uapi.QuerySRQ{SRQHandle: 9}, room: 16},
	{cmd: uapi.CmdDestroySRQ, req: uapi.DestroySRQ{SRQHandle: 9}, room: 4},
	{cmd: uapi.CmdCreateAH, req: uapi.CreateAH{PDHandle: 9, Attr: uapi.AHAttr{DGID: [16]byte{1, 15: 2}, FlowLabel: 3, SGIDIndex: 4,
		HopLimit: 5, TrafficClass: 6, DLID: 7, SL: 8, SrcPathBits: 9, StaticRate: 10, IsGlobal: 1, PortNum: 1}}, room: 4, uhwRoom: 8},
	{cmd: uapi.CmdCreateAH, req: uapi.CreateAH{PDHandle: 9}, room: 4}, // a provider that puts addresses into its sends
	{cmd: uapi.CmdDestroyAH, req: uapi.DestroyAH{AHHandle: 9}},
	{cmd: uapi.Cmd(6), req: uapi.DestroyAH{}},                                        // MODIFY_AH
	{cmd: uapi.FlagExtended | 50, req: uapi.ExModifyQPResp{}, room: 8},               // CREATE_FLOW
	{cmd: uapi.CmdRegMR, req: uapi.DestroyQP{}, room: 12},                            // too short
	{cmd: uapi.CmdCreateCQ, req: uapi.CreateCQ{CompChannel: math.MinInt32}, room: 4}, // no room for the answer
}

var testContainer = &verbs.Container{ID: "c1", Name: "one", GUID: 0x0102030405060708, GIDs: make([]verbs.GID, 2)}

// TestDispatch compares what each command asks of verbs and what it answers with testdata/dispatch.txt.
func TestDispatch(t *testing.T) {
	const path = "testdata/dispatch.txt"
	ctx := &fakeContext{}
	var out strings.Builder
	out.WriteString("# The bytes a program writes, what is asked of verbs, and the bytes it is answered. TestDispatch -rewrite.\n")
	for _, w := range writes {
		c := call{ctx: ctx, container: testContainer, aux: 0xc0ffee, extents: make(fdconn.Extents, 24)}
		r, err := c.dispatch(w.bytes())
		fmt.Fprintf(&out, "\n%v\n> %x\n", w.cmd, w.bytes())
		for _, asked := range ctx.take() {
			fmt.Fprintf(&out, "  %s\n", asked)
		}
		switch {
		case err != nil:
			fmt.Fprintf(&out, "< error: %v\n", err)
		case r.file != nil:
			r.file.Close()
			fmt.Fprintf(&out, "< %x and a descriptor\n", r.body)
		default:
			fmt.Fprintf(&out, "< %x\n", r.body)
		}
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("not what %s says:\n%s", path, difference(string(want), out.String()))
	}
}

// difference shows the lines that two texts do not share.
func difference(want, got string) string {
	var out strings.Builder
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range max(len(w), len(g)) {
		a, b := "", ""
		if i < len(w) {
			a = w[i]
		}
		if i < len(g) {
			b = g[i]
		}
		if a != b {
			fmt.Fprintf(&out, "-%s\n+%s\n", a, b)
		}
	}
	return out.String()
}

// TestDispatchErrors: what verbs refuses is refused, with its errno and no answer.
func TestDispatchErrors(t *testing.T) {
	ctx := &fakeContext{fail: errRefused}
	served := map[uapi.Cmd]bool{}
	for _, w := range writes {
		served[w.cmd] = true
		c := call{ctx: ctx, container: testContainer, aux: 1}
		r, err := c.dispatch(w.bytes())
		if asked := ctx.take(); len(asked) == 0 || strings.HasPrefix(asked[0], "Ring") {
			continue // not verbs' to refuse
		}
		if errno, fault := errnoOf(err); errno != syscall.EBUSY || fault || r.body != nil || r.file != nil {
			t.Errorf("%v: %v, %v, answer %x", w.cmd, errno, fault, r.body)
		}
	}
	for cmd := range handlers {
		if !served[cmd] {
			t.Errorf("%v is not tried", cmd)
		}
	}
}

func TestErrnoOf(t *testing.T) {
	tests := []struct {
		err   error
		errno syscall.Errno
		fault bool
	}{
		{nil, 0, false},
		{syscall.ENOMEM, syscall.ENOMEM, false},
		{errRefused, syscall.EBUSY, false},
		{&os.PathError{Op: "open", Path: "/x", Err: syscall.EMFILE}, syscall.EMFILE, false},
		{fdconn.ErrMalformed, syscall.EINVAL, false},
		{io.ErrUnexpectedEOF, syscall.EIO, true},
		{errors.Join(syscall.Errno(0)), syscall.EIO, true},
	}
	for _, tt := range tests {
		if errno, fault := errnoOf(tt.err); errno != tt.errno || fault != tt.fault {
			t.Errorf("%v: %v %v, want %v %v", tt.err, errno, fault, tt.errno, tt.fault)
		}
	}
}

// TestRegMRExtents: extents reach verbs as they were sent.
func TestRegMRExtents(t *testing.T) {
	var list []byte
	for v := range uint64(6) {
		list = binary.LittleEndian.AppendUint64(list, v)
	}
	ctx := &fakeContext{}
	c := call{ctx: ctx, extents: list}
	if _, err := c.dispatch(write{cmd: uapi.CmdRegMR, req: uapi.RegMR{}, room: 12}.bytes()); err != nil {
		t.Fatal(err)
	}
	if got := ctx.take()[0]; !strings.Contains(got, "Extents:[{VA:0 Length:1 Offset:2} {VA:3 Length:4 Offset:5}]") {
		t.Error(got)
	}
}

// FuzzDispatch: no command makes the dispatcher panic, and no answer is longer than the program's room.
func FuzzDispatch(f *testing.F) {
	for _, w := range writes {
		f.Add(w.bytes(), uint64(1))
	}
	ctx := &fakeContext{}
	f.Fuzz(func(t *testing.T, b []byte, aux uint64) {
		c := call{ctx: ctx, container: testContainer, aux: aux}
		r, err := c.dispatch(b)
		if r.file != nil {
			r.file.Close()
		}
		if err != nil {
			if _, fault := errnoOf(err); fault {
				t.Fatalf("%s: %v", hex.EncodeToString(b), err)
			}
			return
		}
		if room := c.CoreOut + c.UHWOut; len(r.body) != room && c.Cmd != uapi.CmdModifySRQ {
			t.Fatalf("%v answers %d bytes, room for %d", c.Cmd, len(r.body), room)
		}
	})
}
