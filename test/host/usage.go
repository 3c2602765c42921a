package host

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Usage is what a process holds.
type Usage struct {
	RSS     int // KiB, of anonymous and file memory and of shared memory
	Files   int
	Threads int
	Maps    int
}

func (u Usage) String() string {
	return fmt.Sprintf("%d KiB, %d descriptors, %d threads, %d mappings", u.RSS, u.Files, u.Threads, u.Maps)
}

// UsageOf reads it from /proc.
func UsageOf(t testing.TB, pid int) Usage {
	t.Helper()
	var u Usage
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		fmt.Sscanf(line, "VmRSS: %d kB", &u.RSS)
		fmt.Sscanf(line, "Threads: %d", &u.Threads)
	}
	files, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	u.Files = len(files)
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	u.Maps = strings.Count(string(maps), "\n")
	return u
}

// CPUTime is what a process has used, user and system.
func CPUTime(t testing.TB, pid int) time.Duration {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(text[strings.LastIndexByte(string(text), ')')+1:]))
	user, err1 := strconv.Atoi(f[11])
	system, err2 := strconv.Atoi(f[12])
	if err1 != nil || err2 != nil {
		t.Fatalf("/proc/%d/stat: %s", pid, text)
	}
	return time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
}
