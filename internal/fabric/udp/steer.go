package udp

import "golang.org/x/sys/unix"

// Steering is how packets are brought to the socket of the core that they arrive on.
type Steering string

// Ways of steering. Each is tried if the one above it does not work.
const (
	SteerNone        Steering = "none"         // one socket: there is nothing to choose
	SteerProgram     Steering = "program"      // a filter maps the core to the socket (SO_ATTACH_REUSEPORT_CBPF)
	SteerIncomingCPU Steering = "incoming-cpu" // the kernel prefers the socket that names the core (SO_INCOMING_CPU, Linux 6.1)
	SteerHash        Steering = "hash"         // by addresses and ports: any core's
)

// adCPU is where a classic filter finds the number of the core it runs on: SKF_AD_OFF + SKF_AD_CPU, <linux/filter.h>.
const adCPU = 0xfffff000 + 36

// Hint is where in a packet's UDP payload its sender may say which socket it is for, as wire.Steer does: if the word at At is Word, then the byte at
// To is 1 + the socket's index, or HintPast + the number of sockets that it is past the one it would be for without a hint, which is what 0
// says. Zero: there are no hints.
type Hint struct {
	At, Word, To uint32
}

// HintPast marks a hint that is relative to the core of arrival.
const HintPast = 0x80

// steeringProgram maps a packet to the index of a socket: that which the packet's hint names, or else that of the worker of the core it arrives
// on, or for cores that have none, any.
//
//	      ldx  #0
//	      ld   [hint.At]           if there may be hints
//	      jeq  #hint.Word, _, core
//	      ldb  [hint.To]
//	      jset #HintPast, past, _
//	      jeq  #0, core, _
//	      sub  #1
//	      jge  #len(cpus), core, _
//	      ret  a
//	past: and  #0x7f
//	      tax
//	core: ld   cpu
//	      jeq  #cpus[0], _, next
//	      ld   #0
//	      ja   end
//	next: ...
//	end:  add  x
//	      mod  #len(cpus)
//	      ret  a
//
// A packet that ends before a hint could be goes to any socket.
func steeringProgram(cpus []int, h Hint) []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_LDX | unix.BPF_IMM}}
	if h != (Hint{}) {
		program = append(program,
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: h.At},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 8, K: h.Word},
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_B | unix.BPF_ABS, K: h.To},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JSET | unix.BPF_K, Jt: 4, K: HintPast},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jt: 5, K: 0},
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_SUB | unix.BPF_K, K: 1},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JGE | unix.BPF_K, Jt: 3, K: uint32(len(cpus))},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A},
			unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_AND | unix.BPF_K, K: HintPast - 1},
			unix.SockFilter{Code: unix.BPF_MISC | unix.BPF_TAX})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: adCPU})
	left := uint32(0) // cores to come
	for _, cpu := range cpus {
		if cpu >= 0 {
			left++
		}
	}
	for i, cpu := range cpus {
		if cpu < 0 {
			continue
		}
		left--
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 2, K: uint32(cpu)},
			unix.SockFilter{Code: unix.BPF_LD | unix.BPF_IMM, K: uint32(i)},
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JA, K: 3 * left})
	}
	return append(program,
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_ADD | unix.BPF_X},
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(len(cpus))},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A})
}

// steer sets up steering among sockets that were bound in the order of cpus, as well as the kernel can.
func steer(fds, cpus []int, hint Hint, program bool) Steering {
	if len(fds) == 1 {
		return SteerNone
	}
	if program {
		filter := steeringProgram(cpus, hint)
		prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
		if unix.SetsockoptSockFprog(fds[0], unix.SOL_SOCKET, unix.SO_ATTACH_REUSEPORT_CBPF, &prog) == nil {
			return SteerProgram
		}
	}
	for i, fd := range fds {
		if cpus[i] >= 0 && unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_INCOMING_CPU, cpus[i]) != nil {
			return SteerHash
		}
	}
	return SteerIncomingCPU
}
