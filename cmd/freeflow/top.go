package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/top"
)

// topFlags is what the flags say.
type topFlags struct {
	runDir string
	delay  float64 // seconds
	batch  bool
	count  int
}

func topCommand() *cobra.Command {
	var f topFlags
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show who sends and receives how much, as it happens",
		Long: "Show what hosts, containers and queue pairs send and receive a second, the busiest first. q ends it.\n" +
			"Rates are the bytes and messages of RDMA operations as programs count them, in bits and messages.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if f.delay < 0.1 || f.delay > 3600 || f.count < 0 {
				return errors.New("top: want a delay of 0.1 to 3600 seconds, and no negative count")
			}
			ctx, stop := signal.NotifyContext(cmd.Context(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			err := f.run(ctx, cmd.OutOrStdout())
			if errors.Is(err, context.Canceled) {
				return nil
			}
			if err != nil {
				return fmt.Errorf("top: %w", err)
			}
			return nil
		},
	}
	runDirFlag(cmd, &f.runDir)
	cmd.Flags().Float64VarP(&f.delay, "delay", "d", 1, "measure for so many `seconds` at a time")
	cmd.Flags().BoolVarP(&f.batch, "batch", "b", false, "print plain text, all of it, for a file or another program")
	cmd.Flags().IntVarP(&f.count, "count", "n", 0, "end after so many `times`")
	return cmd
}

func (f *topFlags) run(ctx context.Context, out io.Writer) error {
	watch := watcher{client: admin.NewClient(f.runDir)}
	watch.host, _ = os.Hostname()
	first, err := watch.look(ctx)
	if err != nil {
		return err // before the terminal is touched
	}
	if f.batch {
		return f.print(ctx, out, &watch)
	}
	file, ok := out.(*os.File)
	if !ok || !isTerminal(file) {
		return errors.New("the output is no terminal: use -b")
	}
	return f.show(ctx, file, &watch, first)
}

// print writes a list after every delay; the first is of no use, as it has no rates.
func (f *topFlags) print(ctx context.Context, out io.Writer, watch *watcher) error {
	tick := time.NewTicker(f.interval())
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		v, err := watch.look(ctx)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(out, top.Plain(v.Lines(top.Size{}))); err != nil {
			return err
		}
		if n == f.count {
			return nil
		}
	}
}

// show draws on the terminal until q is pressed.
func (f *topFlags) show(ctx context.Context, out *os.File, watch *watcher, v *top.View) (err error) {
	term, err := openTerminal(os.Stdin, out)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, term.close()) }()
	resized := make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	defer signal.Stop(resized)
	tick := time.NewTicker(f.interval())
	defer tick.Stop()
	for n := 0; ; {
		if err := term.draw(v); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case key, ok := <-term.keys:
			if !ok || key == 'q' || key == 'Q' {
				return nil
			}
		case <-resized:
		case <-tick.C:
			if v, err = watch.look(ctx); err != nil {
				return err
			}
			if n++; n == f.count {
				return term.draw(v)
			}
		}
	}
}

func (f *topFlags) interval() time.Duration { return time.Duration(f.delay * float64(time.Second)) }

// watcher asks a router for what it has, and keeps what it had.
type watcher struct {
	client *admin.Client
	host   string
	model  top.Model
}

func (w *watcher) look(ctx context.Context) (*top.View, error) {
	s := top.Snapshot{Host: w.host}
	var err error
	if s.Hosts, err = w.client.Hosts(ctx); err != nil {
		return nil, err
	}
	if s.Containers, err = w.client.Containers(ctx); err != nil {
		return nil, err
	}
	s.At = time.Now()
	if s.QPs, err = w.client.QPs(ctx); err != nil {
		return nil, err
	}
	if len(s.Hosts) == 1 {
		s.Host = s.Hosts[0].Name // whatever it calls itself
	}
	return w.model.Update(s), nil
}
