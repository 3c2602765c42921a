package bench

import (
	"math"
	"os"
	"os/exec"
	"testing"
	"time"
)

func TestParseMachine(t *testing.T) {
	const text = "cpu  300 20 100 4000 200 7 50 30 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\ncpu1 1 1 1 1 1 1 1 1 0 0\nintr 5 0 1\nctxt 7\n"
	cores, idle := parseMachine(text)
	if cores != 2 || idle != 42.3 { // 4000 idle, 200 waiting for a disk, 30 stolen
		t.Errorf("%d cores, %v s idle", cores, idle)
	}
	if cores, idle := parseMachine("cpu\n"); cores != 0 || idle != 0 {
		t.Errorf("%d cores, %v s of nothing", cores, idle)
	}
}

func TestIsKernelThread(t *testing.T) {
	for text, want := range map[string]bool{
		"18 (ksoftirqd/0) S 2 0 0 0 -1 69238848 0 0":    true,
		"7 (a ) b) S 1 7 7 0 -1 4194560 100 0 0 0 150 ": false,
		"": false,
	} {
		if got := isKernelThread(text); got != want {
			t.Errorf("%q: %v", text, got)
		}
	}
	own, err := os.ReadFile("/proc/self/stat")
	if err != nil || isKernelThread(string(own)) {
		t.Errorf("we are no kernel thread: %v", err)
	}
}

// What a process spends is in its account, whoever else is busy.
func TestLedger(t *testing.T) {
	busy := exec.Command("sh", "-c", "while :; do :; done")
	if err := busy.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = busy.Process.Kill()
		_ = busy.Wait()
	}()
	pid := busy.Process.Pid
	l := openLedger([]int{os.Getpid()}, []int{pid})
	before := cpuSeconds(pid)
	for cpuSeconds(pid) < before+0.3 {
		time.Sleep(10 * time.Millisecond)
	}
	c := l.close()
	if c.Programs < 0.3 {
		t.Errorf("%v s in the account of what spent 0.3 s", c.Programs)
	}
	if sum := c.Service + c.Programs + c.Kernel; math.Abs(c.All-sum) > 1e-9 {
		t.Errorf("all %v, its parts %v", c.All, sum)
	}
	if got := c.per(2); math.Abs(2*got.Programs-c.Programs) > 1e-9 {
		t.Errorf("half of %v is %v", c, got)
	}
}
