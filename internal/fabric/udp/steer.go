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

// steeringProgram maps the core that a packet arrives on to the index of a socket: that of the worker of the core, or for cores
// that have none, any.
//
//	    ld   cpu
//	    jeq  #cpus[0], next, over
//	next: ret #0
//	over: ...
//	    mod  #len(cpus)
//	    ret  a
func steeringProgram(cpus []int) []unix.SockFilter {
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: adCPU}}
	for i, cpu := range cpus {
		if cpu < 0 {
			continue
		}
		program = append(program,
			unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: uint32(cpu)},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: uint32(i)})
	}
	return append(program,
		unix.SockFilter{Code: unix.BPF_ALU | unix.BPF_MOD | unix.BPF_K, K: uint32(len(cpus))},
		unix.SockFilter{Code: unix.BPF_RET | unix.BPF_A})
}

// steer sets up steering among sockets that were bound in the order of cpus, as well as the kernel can.
func steer(fds, cpus []int, program bool) Steering {
	if len(fds) == 1 {
		return SteerNone
	}
	if program {
		filter := steeringProgram(cpus)
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
