package rdmacm

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/wire"
)

// FuzzCommand lets two containers write whatever they like, to their own channels. The host survives, and keeps nothing of them when
// their programs have ended.
func FuzzCommand(f *testing.F) {
	f.Add([]byte{}, uint64(1))
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz"), uint64(2))
	f.Fuzz(func(t *testing.T, script []byte, seed uint64) {
		hostile(t, script, rand.New(rand.NewPCG(seed, 0)))
	})
}

// TestHostile is the fuzz target with random scripts.
func TestHostile(t *testing.T) {
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		script := make([]byte, 600)
		for i := range script {
			script[i] = byte(r.Uint32())
		}
		hostile(t, script, r)
	}
}

// hostile does a script: of each two bytes one is the command, the other says who writes it and how much of it makes sense.
func hostile(t *testing.T, script []byte, r *rand.Rand) {
	p := newPair(t)
	programs := []*program{p.client, p.server, p.w.program(p.client.c), p.w.program(p.server.c)}
	p.w.lose = func(*packet) bool { return r.IntN(8) == 0 }
	for ; len(script) >= 2; script = script[2:] {
		who, cmd := programs[script[1]%4], uapi.UCMCmd(script[0]%24)
		q := Command{Inode: who.inode, Aux: programs[r.IntN(4)].inode, Cmd: randomCommand(r, cmd, script[1] >= 16), Data: randomBytes(r, r.IntN(80))}
		before := len(q.Cmd)
		reply, err := who.h.Command(who.c, q)
		if err == nil && before >= 8 && len(reply.Response) > int(binary.LittleEndian.Uint16(q.Cmd[6:])) {
			t.Errorf("%v: %d bytes of response for room of %d", cmd, len(reply.Response), binary.LittleEndian.Uint16(q.Cmd[6:]))
		}
		switch r.IntN(16) {
		case 0:
			p.w.pass(int64(r.Uint64N(20 * second)))
		case 1:
			p.w.watchOnce()
		case 2: // a MAD that nobody sent
			m := message{c: who.c, src: programs[r.IntN(4)].c.GIDs[r.IntN(3)], dst: who.c.GIDs[r.IntN(3)]}
			mad := wire.MAD(m.mad[:])
			copy(mad, randomBytes(r, len(mad)))
			mad.Put(&wire.MADFields{Class: wire.ClassCM, ClassVersion: wire.ClassVersionCM, Method: wire.MethodSend, Attribute: wire.Attribute(0x10 + r.IntN(11))})
			who.h.take(&m)
		default:
			p.w.run()
		}
	}
	for _, x := range programs {
		_ = x.end.Close()
	}
	p.w.watchOnce()
	p.w.pass(1000 * second)
	p.w.empty()
	for _, h := range p.w.hosts {
		if s := h.Counters(); s.Channels != 0 || s.Protocol.Connections != 0 {
			t.Errorf("%d channels and %d connections are left", s.Channels, s.Protocol.Connections)
		}
	}
}

func randomBytes(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.Uint32())
	}
	return b
}

// randomCommand makes up a command: bytes of any length, or one whose ID, address and header are such that it can come far.
func randomCommand(r *rand.Rand, cmd uapi.UCMCmd, sensible bool) []byte {
	if !sensible {
		return randomBytes(r, r.IntN(320))
	}
	id := uint32(r.IntN(6))
	addrs := []string{"10.77.0.1:80", "10.77.0.2:80", "[fd77::2]:80", "[fe80::1]:80", "0.0.0.0:80", "127.0.0.1:80", "[::]:0", "239.1.1.1:0", "10.77.0.9:80"}
	at := addr(addrs[r.IntN(len(addrs))])
	from := addr(addrs[r.IntN(len(addrs))])
	if r.IntN(2) == 0 {
		from = [28]byte{}
	}
	c := param(uint32(r.IntN(4)), "x")
	c.Valid = uint8(r.IntN(3))
	spaces := []uint16{uapi.PortSpaceTCP, uapi.PortSpaceUDP, uapi.PortSpaceIB, uapi.PortSpaceIPoIB}
	bodies := map[uapi.UCMCmd]any{
		uapi.UCMCreateID:     uapi.UCMCreateIDReq{UID: uint64(r.IntN(9)), PS: spaces[r.IntN(4)], QPType: uint8(r.IntN(6))},
		uapi.UCMDestroyID:    uapi.UCMDestroyIDReq{ID: id},
		uapi.UCMBindIP:       uapi.UCMBindIPReq{ID: id, Addr: at},
		uapi.UCMBind:         uapi.UCMBindReq{ID: id, AddrSize: 16, Addr: [128]byte{2, 0, 0, 80, 10, 77, 0, byte(r.IntN(4))}},
		uapi.UCMResolveIP:    uapi.UCMResolveIPReq{ID: id, SrcAddr: from, DstAddr: at, TimeoutMS: r.Uint32N(3000)},
		uapi.UCMResolveRoute: uapi.UCMResolveRouteReq{ID: id, TimeoutMS: 1},
		uapi.UCMQueryRoute:   uapi.UCMQueryReq{ID: id},
		uapi.UCMQuery:        uapi.UCMQueryReq{ID: id, Option: r.Uint32N(4)},
		uapi.UCMConnect:      uapi.UCMConnectReq{ID: id, ConnParam: c},
		uapi.UCMListen:       uapi.UCMListenReq{ID: id, Backlog: int32(r.IntN(4) - 1)},
		uapi.UCMAccept:       uapi.UCMAcceptReq{ID: id, UID: uint64(r.IntN(3)), ConnParam: c},
		uapi.UCMReject:       uapi.UCMRejectReq{ID: id},
		uapi.UCMDisconnect:   uapi.UCMDisconnectReq{ID: id},
		uapi.UCMInitQPAttr:   uapi.UCMInitQPAttrReq{ID: id, QPState: r.Uint32N(8)},
		uapi.UCMGetEvent:     uapi.UCMGetEventReq{},
		uapi.UCMSetOption:    uapi.UCMSetOptionReq{ID: id, Level: r.Uint32N(2), OptName: r.Uint32N(4), OptLen: r.Uint32N(80)},
		uapi.UCMNotify:       uapi.UCMNotifyReq{ID: id, Event: 4},
		uapi.UCMJoinIPMcast:  uapi.UCMJoinIPMcastReq{ID: id, UID: 1, Addr: at},
		uapi.UCMLeaveMcast:   uapi.UCMDestroyIDReq{ID: id},
		uapi.UCMMigrateID:    uapi.UCMMigrateIDReq{ID: id},
	}
	body := bodies[cmd]
	if body == nil {
		body = uapi.UCMQueryReq{ID: id}
	}
	return command(cmd, body, []int{0, 4, 144, 336, 440}[r.IntN(5)])
}

// TestRandomNumbers: the allocator gives the lowest number that is free, whatever happens.
func TestRandomNumbers(t *testing.T) {
	n := numbers[int]{limit: 300}
	used := map[uint32]bool{}
	r := rand.New(rand.NewPCG(3, 4))
	for range 20_000 {
		if num := r.Uint32N(300); r.IntN(2) == 0 && used[num] {
			n.remove(num)
			delete(used, num)
			continue
		}
		num, ok := n.add(new(int))
		if ok != (len(used) < 300) {
			t.Fatalf("%d in use, ok is %v", len(used), ok)
		}
		if !ok {
			continue
		}
		for low := range num {
			if !used[low] {
				t.Fatalf("gave %d, %d was free", num, low)
			}
		}
		if used[num] || n.get(num) == nil {
			t.Fatalf("gave %d twice", num)
		}
		used[num] = true
	}
	if len(n.all()) != len(used) || n.get(1<<31) != nil {
		t.Errorf("%d of %d", len(n.all()), len(used))
	}
}

// TestEphemeralSet: free finds each port that is free, from wherever it starts.
func TestEphemeralSet(t *testing.T) {
	var s ephemeralSet
	for num := ephemeralFirst; num <= ephemeralLast; num++ {
		s.mark(uint16(num), true)
	}
	s.mark(80, true)
	if num := s.free(100, 0); num != 0 {
		t.Errorf("found %d where all are taken", num)
	}
	for _, num := range []uint16{ephemeralFirst, ephemeralFirst + 63, ephemeralFirst + 64, 45000, ephemeralLast} {
		s.mark(num, false)
		for _, start := range []int{0, 1, 63, 64, 12000, ephemerals - 1} {
			if got := s.free(start, 0); got != num {
				t.Errorf("from %d: found %d, want %d", start, got, num)
			}
			if got := s.free(start, num); got != 0 {
				t.Errorf("from %d: found %d again", start, got)
			}
		}
		s.mark(num, true)
	}
}
