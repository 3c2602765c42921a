package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

var machineChecks = []func() Finding{
	checkCapabilities, checkNice, checkMemfd, checkMemoryAccess, checkUserfaultfd,
	checkNetwork, checkIPv6, checkBridgeFilter, checkRealTime, checkFiles,
}

// needed are the capabilities without which the router does not work.
var needed = []struct {
	bit  int
	name string
}{
	{unix.CAP_NET_ADMIN, "CAP_NET_ADMIN"}, {unix.CAP_SYS_ADMIN, "CAP_SYS_ADMIN"}, {unix.CAP_SYS_PTRACE, "CAP_SYS_PTRACE"},
}

func checkCapabilities() Finding {
	have, err := capabilities()
	var lacking []string
	for _, c := range needed {
		if have&(1<<c.bit) == 0 {
			lacking = append(lacking, c.name)
		}
	}
	if err == nil && len(lacking) > 0 {
		err = fmt.Errorf("without %s", strings.Join(lacking, ", "))
	}
	return verdict("privileges", err, Missing, "network, namespaces and memory of other processes",
		"run freeflow as root, or in a container with these capabilities")
}

func checkNice() Finding {
	have, err := capabilities()
	if err == nil && have&(1<<unix.CAP_SYS_NICE) == 0 {
		err = errors.New("without CAP_SYS_NICE")
	}
	return verdict("privilege of priorities", err, Warning, "CAP_SYS_NICE", "give the router CAP_SYS_NICE: its workers wake programs faster at real-time priority")
}

func capabilities() (uint64, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var data [2]unix.CapUserData
	if err := unix.Capget(&header, &data[0]); err != nil {
		return 0, fmt.Errorf("ask for capabilities: %w", err)
	}
	return uint64(data[0].Effective) | uint64(data[1].Effective)<<32, nil
}

func checkMemfd() Finding {
	fd, err := unix.MemfdCreate("freeflow-doctor", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err == nil {
		defer unix.Close(fd)
		_, err = unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, unix.F_SEAL_SHRINK)
	}
	return verdict("sealed shared memory", err, Missing, "memfd_create with seals", "needs Linux 3.17 with CONFIG_MEMFD_CREATE, and a seccomp profile that allows memfd_create")
}

// checkMemoryAccess reads another process' memory in the two ways that the router does.
func checkMemoryAccess() Finding {
	const name, advice = "memory of other processes", "allow ptrace for root: kernel.yama.ptrace_scope below 3, and CAP_SYS_PTRACE"
	scope, _ := os.ReadFile("/proc/sys/kernel/yama/ptrace_scope")
	if strings.TrimSpace(string(scope)) == "3" {
		return Finding{name, Missing, "kernel.yama.ptrace_scope is 3", advice}
	}
	f, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", os.Getppid()), os.O_RDWR, 0)
	if err == nil {
		f.Close()
		err = readOwnMemory()
	}
	return verdict(name, err, Missing, "/proc/PID/mem and process_vm_readv", advice)
}

func readOwnMemory() error {
	source, target := []byte("freeflow"), make([]byte, 8)
	local := []unix.Iovec{{Base: &target[0], Len: 8}}
	remote := []unix.RemoteIovec{remoteIovec(source)}
	_, err := unix.ProcessVMReadv(os.Getpid(), local, remote, 0)
	runtime.KeepAlive(source)
	if err != nil {
		return fmt.Errorf("process_vm_readv: %w", err)
	}
	return nil
}

func checkUserfaultfd() Finding {
	fd, _, errno := unix.Syscall(unix.SYS_USERFAULTFD, unix.O_CLOEXEC, 0, 0)
	var err error
	if errno != 0 {
		err = fmt.Errorf("userfaultfd: %w", errno)
	} else {
		unix.Close(int(fd))
	}
	return verdict("userfaultfd", err, Warning, "available", "without it large registrations copy more; needs CONFIG_USERFAULTFD and CAP_SYS_PTRACE or vm.unprivileged_userfaultfd=1")
}

// checkNetwork sets up a container's network in a namespace that ends with the check.
func checkNetwork() Finding {
	return verdict("namespaces, bridges, veths", tryNetwork(), Missing, "a container's network can be made",
		"needs root, CONFIG_NET_NS, CONFIG_BRIDGE and CONFIG_VETH (modules bridge and veth)")
}

func tryNetwork() error {
	router, err := vnet.NewNamespace()
	if err != nil {
		return err
	}
	defer router.Close()
	inside, err := vnet.NewNamespace()
	if err != nil {
		return err
	}
	defer inside.Close()
	return router.Do(func() error {
		h, err := vnet.NewHost("doctor")
		if err != nil {
			return err
		}
		defer h.Close()
		if err := h.AddNetwork("doctor", 0); err != nil {
			return err
		}
		return h.Attach(inside, vnet.Port{Container: "doctor", Network: "doctor",
			IP: netip.MustParseAddr("10.77.0.1"), Prefix: netip.MustParsePrefix("10.77.0.0/16")})
	})
}

func checkIPv6() Finding {
	off, err := os.ReadFile("/proc/sys/net/ipv6/conf/default/disable_ipv6")
	if err == nil && strings.TrimSpace(string(off)) == "1" {
		err = errors.New("disabled")
	}
	return verdict("IPv6", err, Warning, "available", "containers have no link-local address; the RDMA device works, programs that bind its first GID do not: sysctl net.ipv6.conf.default.disable_ipv6=0")
}

func checkBridgeFilter() Finding {
	on, err := os.ReadFile("/proc/sys/net/bridge/bridge-nf-call-iptables")
	if err != nil || strings.TrimSpace(string(on)) != "1" {
		return Finding{Check: "bridge filtering", Detail: "off"}
	}
	return Finding{"bridge filtering", Warning, "iptables sees what bridges forward",
		"where the FORWARD chain drops (Docker sets it so), containers do not reach each other by TCP: sysctl net.bridge.bridge-nf-call-iptables=0, or accept 10.77.0.0/16 there"}
}

// checkRealTime asks for a real-time priority, on a thread that ends afterwards.
func checkRealTime() Finding {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		attr := unix.SchedAttr{Size: unix.SizeofSchedAttr, Policy: unix.SCHED_FIFO, Priority: 1}
		result <- unix.SchedSetAttr(0, &attr, 0)
	}()
	return verdict("real-time scheduling", <-result, Warning, "SCHED_FIFO is allowed",
		"messages take longer while other programs compute: give the router CAP_SYS_NICE, and real-time runtime if its cgroup has none (cpu.rt_runtime_us)")
}

// wantFiles is enough for about a thousand programs with an open device.
const wantFiles = 65536

func checkFiles() Finding {
	var limit unix.Rlimit
	err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit)
	if err == nil && limit.Max < wantFiles {
		err = fmt.Errorf("at most %d open files", limit.Max)
	}
	return verdict("open files", err, Warning, fmt.Sprintf("at most %d", limit.Max), fmt.Sprintf("raise the hard limit (ulimit -Hn %d) where the router starts: each open device takes a handful", wantFiles))
}
