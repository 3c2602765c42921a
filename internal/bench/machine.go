package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// Cost is processor time while something was sent, in seconds a gigabyte (10^9 bytes) of it, by who spent it.
type Cost struct {
	All      float64 // the whole machine: all below
	Service  float64 // FreeFlow's routers and orchestrator
	Programs float64 // the two that send and receive
	Kernel   float64 // the rest: kernel threads, and interrupts that are in nobody's account
}

// ledger is what had been spent when it was opened.
type ledger struct {
	at                time.Time
	cores             int
	idle              float64
	service, programs []int
	spent             map[int]float64 // by every process that is no kernel thread
}

func openLedger(service, programs []int) ledger {
	l := ledger{at: time.Now(), service: service, programs: programs}
	text, _ := os.ReadFile("/proc/stat")
	l.cores, l.idle = parseMachine(string(text))
	l.spent = processTimes()
	return l
}

// close says what has been spent since. Time that is not idle is somebody's; what other people's processes used is taken off. So nothing that the
// kernel does for a transfer is missed, in whoever's account it stands.
func (l ledger) close() Cost {
	now := openLedger(nil, nil)
	var c Cost
	all := now.at.Sub(l.at).Seconds()*float64(l.cores) - (now.idle - l.idle)
	for pid, spent := range now.spent {
		if before, known := l.spent[pid]; known {
			now.spent[pid] = spent - before
		}
		all -= now.spent[pid]
	}
	for _, pid := range l.service {
		c.Service += now.spent[pid]
	}
	for _, pid := range l.programs {
		c.Programs += now.spent[pid]
	}
	c.Kernel = max(0, all)
	c.All = c.Service + c.Programs + c.Kernel
	return c
}

// per is the cost of each of so many.
func (c Cost) per(n float64) Cost {
	return Cost{c.All / n, c.Service / n, c.Programs / n, c.Kernel / n}
}

// parseMachine reads how many cores there are, and how long they had nothing to do for us: idle, waiting for a disk, or taken by the
// hypervisor (proc_stat(5): user nice system idle iowait irq softirq steal).
func parseMachine(text string) (cores int, idle float64) {
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) < 9 || !strings.HasPrefix(f[0], "cpu") {
			continue
		}
		if f[0] != "cpu" {
			cores++
			continue
		}
		for _, i := range []int{4, 5, 8} {
			v, _ := strconv.ParseFloat(f[i], 64)
			idle += v / clockTicks
		}
	}
	return cores, idle
}

// processTimes is what each process has spent that is no kernel thread.
func processTimes() map[int]float64 {
	times := map[int]float64{}
	dirs, _ := os.ReadDir("/proc")
	for _, d := range dirs {
		pid, err := strconv.Atoi(d.Name())
		if err != nil {
			continue
		}
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if !isKernelThread(string(text)) {
			times[pid] = parseStat(string(text))
		}
	}
	return times
}

// isKernelThread looks at PF_KTHREAD in the flags, field 9 of /proc/PID/stat.
func isKernelThread(text string) bool {
	const kthread = 0x00200000
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 7 {
		return false
	}
	flags, _ := strconv.ParseUint(f[6], 10, 64)
	return flags&kthread != 0
}
