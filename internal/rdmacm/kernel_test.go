package rdmacm

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/uapi"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// TestKernel has the two programs of each pair in testdata say again what they said to a real kernel, and holds every answer and every
// event against the kernel's, byte for byte. What differs for good reason is put right in likeKernel.
func TestKernel(t *testing.T) {
	for _, name := range []string{"rping", "ucmatose", "udaddy", "mckey", "rstream", "rdma_server_client"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1)
			c := w.container(0, "a", "fe80::5054:ff:fe5e:cd00", "10.77.0.1") // both ran in one guest, on addresses 1 of the table
			players := []*player{newPlayer(t, w, c, name+"_server.txt"), newPlayer(t, w, c, name+"_client.txt")}
			for moved := true; moved; {
				moved = false
				for _, p := range players {
					moved = p.play() || moved
				}
			}
			for _, p := range players {
				if len(p.steps) > 0 {
					t.Errorf("%s waits at line %d for %v", p.file, p.steps[0].line, p.steps[0].cmd())
				}
			}
		})
	}
}

// step is a write() and its answer.
type step struct {
	line, fd    int
	write, back []byte
}

func (s *step) cmd() uapi.UCMCmd { return uapi.UCMCmd(binary.LittleEndian.Uint32(s.write)) }

// readSteps reads a file of testdata.
func readSteps(t *testing.T, file string) (steps []*step) {
	f, err := os.Open("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var s *step
	in := bufio.NewScanner(f)
	for line := 1; in.Scan(); line++ {
		var name, text string
		var n, fd int
		switch l := in.Text(); {
		case strings.HasPrefix(l, "#"):
		case strings.HasPrefix(l, "  "):
			if _, err := fmt.Sscanf(l[4:], "%d %s", &n, &text); err != nil {
				t.Fatalf("%s:%d: %v", file, line, err)
			}
			b, err := hex.DecodeString(text)
			if err != nil {
				t.Fatalf("%s:%d: %v", file, line, err)
			}
			if b = append(b, make([]byte, n-len(b))...); l[2] == '>' {
				s.write = b
			} else {
				s.back = b
			}
		default:
			if _, err := fmt.Sscanf(l, "%s fd %d", &name, &fd); err != nil {
				t.Fatalf("%s:%d: %v", file, line, err)
			}
			s = &step{line: line, fd: fd}
			steps = append(steps, s)
		}
	}
	return steps
}

// player is a program that goes by a file. The kernel's numbers of IDs and groups are not ours: both are kept.
type player struct {
	t        *testing.T
	w        *world
	c        *verbs.Container
	file     string
	steps    []*step
	channels map[int]*program // by descriptor
	ids      map[uint32]uint32
	groups   map[uint32]uint32
	psn      map[uint32]uint32 // what the kernel gave an ID
	port     uint32            // the ephemeral port that the kernel gave
	ib       map[uint32]bool   // IDs that were bound to AF_IB addresses there, and are not here
}

func newPlayer(t *testing.T, w *world, c *verbs.Container, file string) *player {
	p := &player{t: t, w: w, c: c, file: file, steps: readSteps(t, file), channels: map[int]*program{}, ids: map[uint32]uint32{},
		groups: map[uint32]uint32{}, psn: map[uint32]uint32{}, ib: map[uint32]bool{}}
	for _, s := range p.steps {
		switch {
		case s.cmd() == uapi.UCMInitQPAttr && s.write[20] == byte(verbs.StateRTR):
			p.psn[binary.LittleEndian.Uint32(s.write[16:])] = binary.LittleEndian.Uint32(s.back[24:])
		case s.cmd() == uapi.UCMQuery && s.write[20] == byte(uapi.UCMQueryAddr) && s.back[16] == byte(uapi.AFInet):
			if port := binary.BigEndian.Uint16(s.back[18:]); port >= ephemeralFirst {
				p.port = uint32(port)
			}
		}
	}
	return p
}

// play goes on as far as it can, and reports whether it did.
func (p *player) play() (moved bool) {
	for len(p.steps) > 0 {
		s := p.steps[0]
		ch := p.channels[s.fd]
		if ch == nil {
			ch = p.w.program(p.c)
			p.channels[s.fd] = ch
		}
		ch.h.rand = func() uint32 { return p.port - ephemeralFirst }
		if s.cmd() == uapi.UCMGetEvent && ch.h.channels[ch.inode].events.Len() == 0 {
			return moved
		}
		p.steps = p.steps[1:]
		p.do(ch, s)
		p.w.run()
		moved = true
	}
	return moved
}

// places says where in its body a command has an ID.
var places = map[uapi.UCMCmd]int{uapi.UCMDestroyID: 8, uapi.UCMResolveRoute: 0, uapi.UCMConnect: 272, uapi.UCMListen: 0, uapi.UCMAccept: 280,
	uapi.UCMDisconnect: 0, uapi.UCMInitQPAttr: 8, uapi.UCMSetOption: 8, uapi.UCMLeaveMcast: 8, uapi.UCMMigrateID: 8, uapi.UCMQuery: 8,
	uapi.UCMBind: 0, uapi.UCMResolveAddr: 0, uapi.UCMJoinMcast: 16}

func (p *player) do(ch *program, s *step) {
	q := Command{Inode: ch.inode, Cmd: bytes.Clone(s.write)}
	var num uint32
	if at, ok := places[s.cmd()]; ok {
		numbers := p.ids
		if s.cmd() == uapi.UCMLeaveMcast {
			numbers = p.groups
		}
		num = binary.LittleEndian.Uint32(s.write[8+at:])
		binary.LittleEndian.PutUint32(q.Cmd[8+at:], numbers[num])
	}
	want := syscall.Errno(0)
	switch s.cmd() {
	case uapi.UCMGetEvent:
		if _, err := ch.token(); err != nil {
			p.t.Fatalf("%s:%d: an event without token", p.file, s.line)
		}
	case uapi.UCMConnect, uapi.UCMAccept, uapi.UCMInitQPAttr:
		ch.h.members[p.c].ids.get(p.ids[num]).psn = p.psn[num]
	case uapi.UCMSetOption:
		q.Data = []byte{1, 0, 0, 0} // REUSEADDR, the only one here
	case uapi.UCMMigrateID:
		q.Aux = p.channels[int(binary.LittleEndian.Uint32(s.write[20:]))].inode
	case uapi.UCMBind:
		if p.ib[num] = s.write[16] == byte(uapi.AFIB); p.ib[num] {
			want = syscall.EADDRNOTAVAIL
		}
	case uapi.UCMQuery:
		if p.ib[num] {
			return
		}
	}
	r, err := ch.h.Command(p.c, q)
	if err != want && (err != nil || want != 0) {
		p.t.Fatalf("%s:%d: %v: %v", p.file, s.line, s.cmd(), err)
	}
	if s.cmd() == uapi.UCMCreateID {
		p.ids[p.nextID()] = binary.LittleEndian.Uint32(r.Response)
	}
	p.compare(s, r.Response)
}

// nextID is what the kernel made an ID's number, which the next command tells: the answer was not recorded.
func (p *player) nextID() uint32 {
	num := binary.LittleEndian.Uint32(p.steps[0].write[8+places[p.steps[0].cmd()]:])
	delete(p.ib, num)
	return num
}

// compare holds an answer against the kernel's.
func (p *player) compare(s *step, got []byte) {
	p.t.Helper()
	if s.back == nil {
		return
	}
	want := bytes.Clone(s.back)
	p.likeKernel(s, got, want)
	if !bytes.Equal(got, want) {
		p.t.Errorf("%s:%d: %v: answer\n%s\nthe kernel's\n%s", p.file, s.line, s.cmd(), hex.Dump(got), hex.Dump(want))
	}
}

// likeKernel makes equal what may differ, and learns the numbers.
func (p *player) likeKernel(s *step, got, want []byte) {
	numbers, at := p.ids, -1
	switch s.cmd() {
	case uapi.UCMJoinMcast:
		numbers, at = p.groups, 0
	case uapi.UCMGetEvent:
		if at = 8; uapi.UCMEvent(want[12]) == uapi.UCMMulticastJoin {
			numbers = p.groups
		}
	case uapi.UCMQuery:
		if s.write[20] == byte(uapi.UCMQueryPath) {
			if len(want) > 8 {
				clear(want[8+48 : 8+52]) // LIDs, in whose place the kernel has half of a MAC address
			}
			return
		}
		if binary.LittleEndian.Uint32(got[272:]) != uapi.UCMNoDevIndex {
			p.t.Errorf("%s:%d: the device has an index", p.file, s.line)
		}
		clear(got[272:276])
	}
	if at >= 0 {
		numbers[binary.LittleEndian.Uint32(want[at:])] = binary.LittleEndian.Uint32(got[at:])
		copy(got[at:at+4], want[at:])
	}
}
