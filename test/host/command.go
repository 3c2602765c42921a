package host

import "os/exec"

// Command is a command of freeflow's with this host's run directory, to be started and ended by the test; Freeflow is for those that end
// by themselves.
func (h *Host) Command(args ...string) *exec.Cmd {
	return exec.Command(h.bin, append(args, "--run-dir", h.RunDir)...)
}
