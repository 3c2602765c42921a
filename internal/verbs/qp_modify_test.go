package verbs

import "testing"

var types = []QPType{TypeRC, TypeUC, TypeUD}

// TestAllowed goes over every transition of every type: what is required must be there, what is neither required nor optional must not, and
// what is not in the specification's diagram (IBTA figure 124) is refused.
func TestAllowed(t *testing.T) {
	legal := map[[2]State]bool{}
	for _, p := range [][2]State{{StateReset, StateInit}, {StateInit, StateInit}, {StateInit, StateRTR}, {StateRTR, StateRTS}, {StateRTS, StateRTS},
		{StateRTS, StateSQD}, {StateSQD, StateRTS}, {StateSQD, StateSQD}, {StateSQE, StateRTS}} {
		legal[p] = true
	}
	const every = AttrMask(1<<21) - 1
	for from := StateReset; from <= StateError; from++ {
		for to := StateReset; to <= StateError; to++ {
			for _, typ := range types {
				away := to == StateReset || to == StateError
				ok := away || legal[[2]State{from, to}] && !(from == StateSQE && typ == TypeRC)
				req := transitions[[2]State{from, to}].req[typ]
				opt := transitions[[2]State{from, to}].opt[typ]
				if away {
					req, opt = 0, 0
				}
				if got := allowed(from, to, typ, MaskState|req); got != ok {
					t.Errorf("%v %v to %v: %v", typ, from, to, got)
				}
				if !ok {
					continue
				}
				for bit := AttrMask(2); bit < every; bit <<= 1 {
					switch {
					case req&bit != 0 && allowed(from, to, typ, MaskState|req&^bit):
						t.Errorf("%v %v to %v without %#x", typ, from, to, bit)
					case (req|opt)&bit == 0 && allowed(from, to, typ, MaskState|req|bit):
						t.Errorf("%v %v to %v with %#x", typ, from, to, bit)
					case opt&bit != 0 && bit != MaskCurState && !allowed(from, to, typ, MaskState|req|bit):
						t.Errorf("%v %v to %v without leave for %#x", typ, from, to, bit)
					}
				}
			}
		}
	}
}

// TestRequired states by hand what a program must give on the way to RTS (IBTA table 91), so that the table is not only compared with itself.
func TestRequired(t *testing.T) {
	for _, tt := range []struct {
		from, to State
		typ      QPType
		mask     AttrMask
	}{
		{StateReset, StateInit, TypeRC, MaskPKeyIndex | MaskPort | MaskAccessFlags},
		{StateReset, StateInit, TypeUC, MaskPKeyIndex | MaskPort | MaskAccessFlags},
		{StateReset, StateInit, TypeUD, MaskPKeyIndex | MaskPort | MaskQKey},
		{StateInit, StateRTR, TypeRC, MaskAV | MaskPathMTU | MaskDestQPN | MaskRQPSN | MaskMaxDestRdAtomic | MaskMinRNRTimer},
		{StateInit, StateRTR, TypeUC, MaskAV | MaskPathMTU | MaskDestQPN | MaskRQPSN},
		{StateInit, StateRTR, TypeUD, 0},
		{StateRTR, StateRTS, TypeRC, MaskTimeout | MaskRetryCnt | MaskRNRRetry | MaskSQPSN | MaskMaxRdAtomic},
		{StateRTR, StateRTS, TypeUC, MaskSQPSN},
		{StateRTR, StateRTS, TypeUD, MaskSQPSN},
	} {
		if req := transitions[[2]State{tt.from, tt.to}].req[tt.typ]; req != tt.mask {
			t.Errorf("%v %v to %v requires %#x, want %#x", tt.typ, tt.from, tt.to, req, tt.mask)
		}
	}
}
