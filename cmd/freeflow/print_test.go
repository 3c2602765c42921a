package main

import (
	"context"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

var rows = []admin.QPRow{
	{Container: "a", PID: 7, QPN: 17, Type: "RC", State: "RTS", DestIP: netip.MustParseAddr("10.77.0.2"), DestQPN: 18, Fabric: "local", TxBytes: 1 << 30, RxBytes: 100},
	{Container: "b", PID: 8, QPN: 18, Type: "UD", State: "INIT"},
}

func TestTable(t *testing.T) {
	var out strings.Builder
	if err := qpTable.print(&out, rows); err != nil {
		t.Fatal(err)
	}
	want := "" +
		"CONTAINER   PID   QPN        TYPE   STATE   PEER        PEER QPN   FABRIC   SENT      RECEIVED\n" +
		"a           7     0x000011   RC     RTS     10.77.0.2   0x000012   local    1.0 GiB   100 B\n" +
		"b           8     0x000012   UD     INIT    -           -          -        0 B       0 B\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}

func TestYAMLIsJSONByOtherMeans(t *testing.T) {
	var out strings.Builder
	if err := (printer{"yaml"}).print(&out, []admin.MRRow{{ID: 3, Host: "h", Container: "1", PID: 7, LKey: 256, Access: "local, remote write"}}); err != nil {
		t.Fatal(err)
	}
	want := "- id: 3\n  host: h\n  container: \"1\"\n  pid: 7\n  lkey: 256\n  rkey: 0\n  addr: 0\n  length: 0\n  shared: 0\n  access: local, remote write\n"
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	if err := (printer{"yaml"}).print(&out, []admin.MRRow{}); err != nil || out.String() != "[]\n" {
		t.Errorf("nothing is %q, %v", out.String(), err)
	}
}

func TestCommandLinesCannotWriteOnTheTerminal(t *testing.T) {
	if got := printable("a\x1b[2J\u009bb\tü"); got != "a?[2J?b?ü" {
		t.Errorf("printed as %q", got)
	}
}

func TestWatchPrintsChanges(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	asked := 0
	list := func(_ context.Context, w io.Writer) error {
		if asked++; asked == 3 {
			cancel()
		}
		_, err := fmt.Fprintf(w, "state %d\n", asked/2)
		return err
	}
	var out strings.Builder
	if err := watchList(ctx, &out, list); err != nil {
		t.Fatal(err)
	}
	if out.String() != "state 0\nstate 1\n" {
		t.Errorf("watched %q", out.String())
	}
}

func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"get", "things"}, "invalid argument"},
		{[]string{"get", "qps", "-o", "xml"}, "want table, json or yaml"},
		{[]string{"run"}, "no program given"},
		{[]string{"run", "--ip", "x", "--", "true"}, "--ip"},
		{[]string{"up", "--network", "x"}, "--network"},
	} {
		root := rootCommand()
		root.SetArgs(c.args)
		if err := root.Execute(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q", c.args, err, c.want)
		}
	}
}
