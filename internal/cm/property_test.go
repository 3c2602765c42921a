package cm

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/wire"
)

const second = 1_000_000_000

// users are two programs that do what comes to their minds, and what their events ask for, sooner or later.
type users struct {
	*world
	rnd    *rand.Rand
	ids    [2]map[ID]Kind // what each has, and what it heard last; 0: nothing yet
	active [2]map[ID]bool
	drops  map[string]int // how often each message was lost in a row
	calm   bool           // nothing is lost, and all is answered at once
}

func newUsers(t *testing.T, seed uint64) *users {
	u := &users{world: newWorld(t), rnd: rand.New(rand.NewPCG(seed, 1)), drops: map[string]int{}}
	for side := range 2 {
		u.ids[side], u.active[side] = map[ID]Kind{}, map[ID]bool{}
	}
	u.world.fate = u.weather
	u.world.event = u.heard
	return u
}

// weather loses a fifth of the messages, but none of them more than twice in a row: what is sent three times arrives. It doubles and
// delays others.
func (u *users) weather(from int, mad wire.MAD) (copies int, lateBy int64, name string) {
	if u.calm {
		return 1, 0, ""
	}
	key := fmt.Sprint(from, mad.Attribute(), mad.LocalCommID(), mad.RemoteCommID())
	if u.drops[key] < 2 && u.rnd.IntN(5) == 0 {
		u.drops[key]++
		return 0, 0, "lost"
	}
	u.drops[key] = 0
	return 1 + u.rnd.IntN(8)/7, int64(u.rnd.IntN(5)/4) * u.rnd.Int64N(second/4), ""
}

// heard notes an event, and that what it ends is over.
func (u *users) heard(side int, ev *Event) {
	before, mine := u.ids[side][ev.ID]
	switch ev.Kind {
	case Requested, SIDRRequested:
		if mine {
			u.Errorf("%s is requested twice", idName(uint32(ev.ID)))
		}
	default:
		if !mine {
			u.Errorf("%s %s, but nobody has it", idName(uint32(ev.ID)), kindNames[ev.Kind])
		}
	}
	if before == ev.Kind {
		u.Errorf("%s hears %s twice", idName(uint32(ev.ID)), kindNames[ev.Kind])
	}
	u.ids[side][ev.ID] = ev.Kind
	if ev.Kind == TimewaitExit || ev.Kind == Unreachable || ev.Kind == SIDRReplied {
		delete(u.ids[side], ev.ID)
	}
}

// act has a side do something with an ID of its own, or begin something.
func (u *users) act(side int) {
	m := u.m[side]
	ids := slices.Sorted(maps.Keys(u.ids[side]))
	if n := u.rnd.IntN(len(ids) + 2); n < len(ids) {
		u.treat(side, ids[n])
		return
	}
	if u.rnd.IntN(4) == 0 {
		u.ids[side][m.Resolve(u.now, toPeer(side), &SIDRReq{ServiceID: 1})] = 0
		return
	}
	id := m.Connect(u.now, toPeer(side), &Req{QPN: 100 + uint32(u.rnd.IntN(200)), StartPSN: u.rnd.Uint32() & 0xffffff, PathMTU: 3, LocalAckTimeout: 14,
		RemoteResponseTimeout: 20, LocalResponseTimeout: 20, MaxCMRetries: 15})
	u.ids[side][id], u.active[side][id] = 0, true
}

// treat does something with one ID, mostly what fits. Errors are part of the game.
func (u *users) treat(side int, id ID) {
	m, c := u.m[side], u.m[side].conns[id]
	switch u.rnd.IntN(14) {
	case 0:
		delete(u.ids[side], id)
		m.Destroy(u.now, id)
	case 1:
		if m.Reject(u.now, id, &Rej{Reason: RejConsumerDefined}) == nil && m.get(id) == nil {
			delete(u.ids[side], id)
		}
	case 2:
		_ = m.Extend(u.now, id, []uint8{10, 16, 18 | Later}[u.rnd.IntN(3)])
	case 3:
		_ = m.Disconnect(u.now, id)
	case 4: // data comes only from a peer that is connected
		if c != nil && c.known {
			if peer := u.m[1-side].conns[ID(c.remote)]; peer != nil && peer.state == established {
				_ = m.Established(u.now, id)
			}
		}
	default:
		u.answer(side, id)
	}
}

// answer does what an event asks for.
func (u *users) answer(side int, id ID) {
	m := u.m[side]
	switch u.ids[side][id] {
	case Requested:
		_ = m.Reply(u.now, id, &Rep{QPN: 500 + uint32(u.rnd.IntN(200))})
	case Replied:
		_ = m.Ready(u.now, id, nil)
	case DisconnectRequested:
		_ = m.Disconnect(u.now, id)
	case SIDRRequested:
		_ = m.ReplySIDR(u.now, id, &SIDRRep{QPN: 1})
		delete(u.ids[side], id)
	}
}

// settle has all that is owed be answered, for a while.
func (u *users) settle(d int64) {
	for until := u.now + d; u.now < until; {
		for side := range 2 {
			for _, id := range slices.Sorted(maps.Keys(u.ids[side])) {
				u.answer(side, id)
			}
		}
		u.run(second / 10)
	}
}

// agree: what is established on one side is established on the other.
func (u *users) agree() error {
	for side, m := range u.m {
		for id, c := range m.conns {
			if c.state != established {
				continue
			}
			peer := u.m[1-side].conns[ID(c.remote)]
			if peer == nil || peer.state != established || peer.remote != uint32(id) {
				return fmt.Errorf("%s is established, %s is not", idName(uint32(id)), idName(c.remote))
			}
		}
	}
	return nil
}

// TestTwoUsers: whatever two programs do, over a network that loses, doubles and delays: no panic, the tables stay right, no connection
// stays established on one side only, and nothing is left when both have destroyed all that they have.
func TestTwoUsers(t *testing.T) {
	runs := uint64(100)
	if testing.Short() {
		runs = 30
	}
	reached := map[Kind]int{}
	for seed := range runs {
		u := newUsers(t, seed)
		for range 150 {
			u.act(u.rnd.IntN(2))
			u.run(int64(u.rnd.ExpFloat64() * 0.1 * second))
			u.check()
		}
		u.calm = true
		u.settle(300 * second)
		if err := u.agree(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for side := range 2 {
			for id, k := range u.ids[side] {
				reached[k]++
				u.m[side].Destroy(u.now, id)
			}
		}
		u.run(3600 * second)
		for side, m := range u.m {
			if empty(t, m); t.Failed() {
				t.Fatalf("seed %d, side %d", seed, side)
			}
		}
	}
	t.Logf("at the end: %v", reached)
	if reached[Established]+reached[Replied] == 0 {
		t.Error("no connection lasted: this shows little")
	}
}

// check holds both machines' tables.
func (u *users) check() {
	for _, m := range u.m {
		if err := m.check(); err != nil {
			u.Fatal(err)
		}
	}
}
