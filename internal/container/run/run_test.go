package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/admin"
	"github.com/freeflow-rdma/freeflow/internal/container"
	"github.com/freeflow-rdma/freeflow/internal/pcap"
)

// The test program is also what it tests: with asRouter set it is a router without RDMA, with asRun set it
// is `freeflow run`. Both need a process, to be killed, and run needs the main thread.
const (
	asRouter = "FREEFLOW_TEST_ROUTER"
	asRun    = "FREEFLOW_TEST_RUN"
)

func init() { runtime.LockOSThread() }

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asRouter) != "":
		if err := routerMain(os.Getenv(asRouter)); err != nil {
			fmt.Fprintln(os.Stderr, "router:", err)
			os.Exit(1)
		}
	case os.Getenv(asRun) != "":
		os.Exit(runMain(os.Getenv(asRun)))
	default:
		runtime.UnlockOSThread()
		os.Exit(m.Run())
	}
}

func runMain(runDir string) int {
	os.Unsetenv(asRun)
	o := Options{RunDir: runDir, Args: os.Args[1:], Messages: os.Stderr}
	o.Spec.Name = os.Getenv("NAME")
	o.Sockets = os.Getenv("SOCKETS") != ""
	if ip := os.Getenv("IP"); ip != "" {
		o.Spec.IP = netip.MustParseAddr(ip)
	}
	status, err := Run(o)
	if err != nil {
		fmt.Fprintln(os.Stderr, "freeflow:", err)
	}
	return status
}

func routerMain(runDir string) error {
	log := slog.New(slog.NewTextHandler(os.Stderr, nil))
	host, err := container.NewHost(runDir, "auto", log)
	if err != nil {
		return err
	}
	if err := host.AddNetwork("default", netip.MustParsePrefix("10.77.0.0/16"), 0); err != nil {
		return err
	}
	library, err := os.ReadFile(os.Getenv("LIBRARY"))
	if err != nil {
		return err
	}
	if err := errors.Join(container.InstallLibrary(runDir, library), recovered(host)); err != nil {
		return err
	}
	server, err := admin.Listen(runDir, backend{host}, log)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	return errors.Join(server.Serve(ctx), host.Close())
}

// backend is a router's without RDMA.
type backend struct{ host *container.Host }

func (b backend) RegisterContainer(_ context.Context, peer admin.Peer, spec admin.ContainerSpec) (admin.ContainerInfo, error) {
	c, err := b.host.Add(peer, spec)
	if err != nil {
		return admin.ContainerInfo{}, err
	}
	return b.host.Info(c), nil
}

func (b backend) UnregisterContainer(id string) { b.host.Remove(id) }
func (b backend) Status() admin.Status          { return admin.Status{PID: os.Getpid()} }
func (b backend) QPs() []admin.QPRow            { return nil }
func (b backend) MRs() []admin.MRRow            { return nil }
func (b backend) CMIDs() []admin.CMIDRow        { return nil }
func (b backend) Hosts() []admin.HostRow        { return nil }
func (b backend) Networks() []admin.NetworkRow  { return b.host.Networks() }
func (b backend) Counters() []admin.CounterRow  { return nil }
func (b backend) Tap() *pcap.Tap                { return nil }
func (b backend) Containers() []admin.ContainerRow {
	var rows []admin.ContainerRow
	for _, c := range b.host.List() {
		rows = append(rows, admin.ContainerRow{ID: c.ID, Name: c.Name, IP: c.IP, Command: c.Command, PID: c.PID})
	}
	return rows
}

func recovered(h *container.Host) error {
	_, err := h.Recover(func(string) {})
	return err
}
