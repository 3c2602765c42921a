package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strconv"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
)

// capture is what the flags say.
type capture struct {
	runDir, container, qp, file string
	count                       uint64
}

func captureCommand() *cobra.Command {
	var c capture
	cmd := &cobra.Command{
		Use:   "capture",
		Short: "Record what virtual RDMA NICs send and receive, for Wireshark",
		Long: "Record what virtual RDMA NICs of this host send and receive, as RoCEv2 packets. Messages between containers\n" +
			"of one host, which are no packets, are shown as the packets that real NICs would have exchanged.\n" +
			"Without -w each packet is printed as a line. It ends with -c, or when it is interrupted.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			if err := c.run(ctx, cmd.OutOrStdout(), cmd.ErrOrStderr()); err != nil {
				return fmt.Errorf("capture: %w", err)
			}
			return nil
		},
	}
	runDirFlag(cmd, &c.runDir)
	f := cmd.Flags()
	f.StringVar(&c.container, "container", "", "only what the container with this `name` sends or receives")
	f.StringVar(&c.qp, "qp", "", "only what the queue pair with this `number` sends or receives (see freeflow get qps)")
	f.StringVarP(&c.file, "write", "w", "", "write a capture in pcap format to this `file`; - is the standard output")
	f.Uint64VarP(&c.count, "count", "c", 0, "end after so many `packets`")
	return cmd
}

func (c *capture) run(ctx context.Context, out, complaints io.Writer) error {
	q, err := c.query(ctx)
	if err != nil {
		return err
	}
	to, err := c.output(out)
	if err != nil {
		return err
	}
	defer to.Close()
	client := pcap.NewClient(admin.SocketPath(c.runDir))
	stream, err := client.Open(ctx, q)
	if err != nil {
		return err
	}
	defer stream.Close()
	if c.file == "" {
		err = printPackets(to, stream)
	} else {
		fmt.Fprintln(complaints, "capturing; interrupt to end")
		_, err = io.Copy(to, stream)
	}
	stream.Close()
	if err != nil && ctx.Err() == nil {
		return err
	}
	c.summarise(client, complaints)
	return to.Close()
}

// query asks the router which addresses the container has.
func (c *capture) query(ctx context.Context) (q pcap.Query, err error) {
	q.Count = c.count
	if c.qp != "" {
		qpn, err := strconv.ParseUint(c.qp, 0, 24)
		if err != nil || qpn == 0 {
			return q, fmt.Errorf("--qp %q: want the number of a queue pair, such as 17 or 0x11", c.qp)
		}
		q.QPN = uint32(qpn)
	}
	containers, err := admin.NewClient(c.runDir).Containers(ctx) // asked in any case: its errors say what to do
	if err != nil || c.container == "" {
		return q, err
	}
	for _, row := range containers {
		if row.Name == c.container || row.ID == c.container {
			q.Addrs = append(append(q.Addrs, row.IP), row.GIDs...)
			return q, nil
		}
	}
	return q, fmt.Errorf("the router has no container %s", c.container)
}

// output is where the capture goes. Closing it twice is as good as once, and the standard output stays open.
func (c *capture) output(out io.Writer) (io.WriteCloser, error) {
	switch c.file {
	case "":
		return keepOpen{out}, nil
	case "-":
		if f, ok := out.(*os.File); ok && isTerminal(f) {
			return nil, errors.New("-w - would write packets to the terminal: redirect the output, or leave -w out for text")
		}
		return keepOpen{out}, nil
	}
	f, err := os.OpenFile(c.file, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600) // packets hold the containers' data
	if err != nil {
		return nil, err
	}
	return closeOnce{f}, nil
}

type keepOpen struct{ io.Writer }

func (keepOpen) Close() error { return nil }

type closeOnce struct{ *os.File }

func (c closeOnce) Close() error {
	if err := c.File.Close(); !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// printPackets prints a line for each packet.
func printPackets(to io.Writer, stream io.Reader) error {
	r, err := pcap.NewReader(stream)
	if err != nil {
		return err
	}
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(to, rec.Line()); err != nil {
			return err
		}
	}
}

// summarise says how much was captured, once the router knows. A router that is gone knows nothing.
func (c *capture) summarise(client *pcap.Client, complaints io.Writer) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	for {
		s, err := client.Stats(ctx)
		if err != nil {
			return
		}
		if !s.Running {
			fmt.Fprintf(complaints, "%d packets captured, %d lost by the capture\n", s.Captured, s.Dropped)
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
}
