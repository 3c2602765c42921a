// Command freeflow is all of FreeFlow in one binary: the router, the programs that it serves, and what an
// operator asks of them. Here are flags and wiring only; what the commands do is in internal/.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

// The main goroutine stays on the main thread until the command is known: `freeflow run` takes the main
// thread, and no other, into the container's network namespace.
func init() { runtime.LockOSThread() }

func main() { os.Exit(execute()) }

func execute() int {
	err := rootCommand().Execute()
	var status exitStatus
	switch {
	case err == nil:
		return 0
	case errors.As(err, &status):
		if status.err != nil {
			complain(status.err)
		}
		return status.code
	}
	complain(err)
	return 1
}

func complain(err error) { fmt.Fprintln(os.Stderr, "freeflow:", err) }

// exitStatus ends the program with a status of its own; err, if any, is printed.
type exitStatus struct {
	code int
	err  error
}

func (e exitStatus) Error() string {
	if e.err != nil {
		return e.err.Error()
	}
	return fmt.Sprintf("exit status %d", e.code)
}
