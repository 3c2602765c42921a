package verbs

// State is a queue pair's state, numbered as IBV_QPS_*.
//
//	        ModifyQP            ModifyQP            ModifyQP
//	RESET ───────────▶ INIT ───────────▶ RTR ───────────▶ RTS ◀──────────┐
//	  ▲                                                  │  ▲  ModifyQP  │ ModifyQP
//	  │ ModifyQP, from every state                       ▼  │            │
//	  │                                                 SQD ┘           SQE ◀── send error of UC, UD
//	  └──────────────────────── ERR ◀── any error of RC, ModifyQP from every state
type State uint8

// The states of IBTA 10.3.1.
const (
	StateReset State = iota
	StateInit
	StateRTR
	StateRTS
	StateSQD
	StateSQE
	StateError
)

// String gives the specification's name.
func (s State) String() string {
	switch s {
	case StateReset:
		return "RESET"
	case StateInit:
		return "INIT"
	case StateRTR:
		return "RTR"
	case StateRTS:
		return "RTS"
	case StateSQD:
		return "SQD"
	case StateSQE:
		return "SQE"
	case StateError:
		return "ERR"
	}
	return "?"
}
