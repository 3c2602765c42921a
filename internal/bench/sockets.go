package bench

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
)

// transport is what carries the bytes of a program's sockets.
type transport int

const (
	overRDMA transport = iota // rsocket, by `freeflow run --sockets`
	overTCP
)

// Ports on which iperf (version 2) and NetPIPE listen, TCP's and RDMA-CM's, each for one transport.
var (
	iperf2Ports = map[transport]int{overRDMA: 5001, overTCP: 5011}
	netpipePort = 5002
)

// socketPair are two containers in which a program's sockets are RDMA connections, or TCP's if it is told to leave the libraries alone. Both
// transports are measured between the same two.
type socketPair struct{ server, client *Container }

// socketPairOn starts a server's container in one world and a client's in another, or the same, with iperf's servers in the first.
func socketPairOn(ctx context.Context, server, client *World) (p socketPair, err error) {
	if p.server, err = server.socketContainer(ctx); err != nil {
		return p, err
	}
	if p.client, err = client.socketContainer(ctx); err != nil {
		return p, err
	}
	for t, port := range iperf2Ports {
		if err := p.serve(ctx, t, port, "iperf", "-s", "-p", strconv.Itoa(port)); err != nil {
			return p, err
		}
	}
	return p, nil
}

// socketContainer is Container, with --sockets.
func (w *World) socketContainer(ctx context.Context) (*Container, error) {
	c := &Container{IP: w.nextIP(), w: w, name: fmt.Sprintf("bench%d", w.number())}
	cmd := exec.Command(w.binary, "run", "--run-dir", w.path("run"), "--name", c.name, "--ip", c.IP.String(), "--sockets", "--", "sh")
	return c, c.start(ctx, cmd)
}

// command is a program as a transport has it started.
func (t transport) command(argv ...string) []string {
	if t == overTCP {
		return append([]string{"env", "-u", "LD_PRELOAD"}, argv...)
	}
	return argv
}

// serve starts a server and waits until it listens.
func (p socketPair) serve(ctx context.Context, t transport, port int, argv ...string) error {
	if t == overTCP {
		_, err := p.server.Serve(ctx, port, t.command(argv...)...)
		return err
	}
	program, err := p.server.Start(ctx, argv...)
	if err != nil {
		return err
	}
	err = poll(ctx, func() (bool, error) {
		select {
		case status := <-program.status:
			return false, program.failed(status)
		default:
		}
		ids, err := p.server.w.client().CMIDs(ctx)
		for _, id := range ids {
			if id.Container == p.server.name && strings.EqualFold(id.State, "listen") && int(id.Local.Port()) == port {
				return true, nil
			}
		}
		return false, err
	})
	if err != nil {
		program.kill()
		return fmt.Errorf("wait for %s to listen: %w", argv[0], err)
	}
	return nil
}

// throughput is iperf's with messages of a size, in bit/s.
func (p socketPair) throughput(ctx context.Context, t transport, size, seconds int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	text, err := p.client.Run(ctx, t.command("iperf", "-y", "C", "-c", p.server.IP.String(), "-p", strconv.Itoa(iperf2Ports[t]),
		"-l", strconv.Itoa(size), "-t", strconv.Itoa(seconds))...)
	if err != nil {
		return 0, err
	}
	return parseIperf2(text)
}

// parseIperf2 reads the last line of iperf -y C, whose last field are bits a second.
func parseIperf2(text string) (float64, error) {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	fields := strings.Split(lines[len(lines)-1], ",")
	v, err := strconv.ParseFloat(fields[len(fields)-1], 64)
	if err != nil || len(fields) < 9 {
		return 0, fmt.Errorf("no result in what iperf printed: %q", text)
	}
	return v, nil
}

// latency is NetPIPE's, one way, with messages of a size, in microseconds: an average of so many turns.
func (p socketPair) latency(ctx context.Context, t transport, size, turns int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	result := p.client.w.path("netpipe.out")
	options := []string{"-l", strconv.Itoa(size), "-u", strconv.Itoa(size), "-p", "0", "-n", strconv.Itoa(turns), "-o"}
	if err := p.serve(ctx, t, netpipePort, append(append([]string{"NPtcp"}, options...), "/dev/null")...); err != nil {
		return 0, err
	}
	if _, err := p.client.Run(ctx, append(append(t.command("NPtcp", "-h", p.server.IP.String()), options...), result)...); err != nil {
		return 0, err
	}
	text, err := os.ReadFile(result)
	if err != nil {
		return 0, err
	}
	return parseNetpipe(string(text))
}

// parseNetpipe reads what NPtcp wrote of one size: its bytes, Mbit/s and seconds one way.
func parseNetpipe(text string) (float64, error) {
	var size int
	var rate, seconds float64
	if _, err := fmt.Sscan(text, &size, &rate, &seconds); err != nil || seconds <= 0 {
		return 0, fmt.Errorf("no result in what NPtcp wrote: %q", text)
	}
	return seconds * 1e6, nil
}
