package bench

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// clockTicks is USER_HZ, in which /proc/PID/stat counts on every architecture that Go knows.
const clockTicks = 100

// settle is how long a transfer is left alone before its processes are watched.
const settle = time.Second

// watch tells how much of a core each process uses over cpuWindow.
func watch(pids ...int) []float64 {
	time.Sleep(settle)
	return watchFor(cpuWindow, pids...)
}

func watchFor(window time.Duration, pids ...int) []float64 {
	before, began := make([]float64, len(pids)), time.Now()
	for i, pid := range pids {
		before[i] = cpuSeconds(pid)
	}
	time.Sleep(window)
	shares, passed := make([]float64, len(pids)), time.Since(began).Seconds()
	for i, pid := range pids {
		shares[i] = max(0, (cpuSeconds(pid)-before[i])/passed)
	}
	return shares
}

// cpuSeconds is the processor time, user and system, of a process' threads; 0 if it is gone.
func cpuSeconds(pid int) float64 {
	text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return parseStat(string(text))
}

// parseStat reads utime and stime, fields 14 and 15. The second field, in parentheses, can hold anything.
func parseStat(text string) float64 {
	f := strings.Fields(text[strings.LastIndexByte(text, ')')+1:])
	if len(f) < 13 {
		return 0
	}
	user, _ := strconv.ParseFloat(f[11], 64)
	system, _ := strconv.ParseFloat(f[12], 64)
	return (user + system) / clockTicks
}
