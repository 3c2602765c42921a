package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

// printer prints lists for programs.
type printer struct{ format string }

func (p printer) check() error {
	if !slices.Contains([]string{"table", "json", "yaml"}, p.format) {
		return fmt.Errorf("--output %q: want table, json or yaml", p.format)
	}
	return nil
}

func (p printer) print(w io.Writer, rows any) error {
	text, err := json.MarshalIndent(rows, "", "  ")
	if err != nil {
		return fmt.Errorf("print as JSON: %w", err)
	}
	if p.format == "json" {
		_, err = fmt.Fprintf(w, "%s\n", text)
		return err
	}
	return printYAML(w, text)
}

// printYAML prints JSON as YAML, of which it is a part: the same names, in the same order.
func printYAML(w io.Writer, text []byte) error {
	var doc yaml.Node
	if err := yaml.Unmarshal(text, &doc); err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	plain(&doc)
	enc := yaml.NewEncoder(w)
	enc.SetIndent(2)
	if err := enc.Encode(&doc); err != nil {
		return fmt.Errorf("print as YAML: %w", err)
	}
	return enc.Close()
}

// plain takes JSON's braces away, and its quotation marks where YAML needs none.
func plain(n *yaml.Node) {
	if n.Kind != yaml.ScalarNode && len(n.Content) > 0 {
		n.Style = 0
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
		n.Style = 0
	}
	for _, child := range n.Content {
		plain(child)
	}
}

// table prints lists for people.
type table[T any] struct {
	head string // the columns' names, separated by tabs
	row  func(T) []any
}

func (t table[T]) print(w io.Writer, rows []T) error {
	tw := tabwriter.NewWriter(w, 0, 8, 3, ' ', 0)
	fmt.Fprintln(tw, t.head)
	for _, r := range rows {
		cells := t.row(r)
		fmt.Fprintf(tw, strings.Repeat("%v\t", len(cells)-1)+"%v\n", cells...)
	}
	return tw.Flush()
}

var hostTable = table[admin.HostRow]{
	"NAME\tIP\tSTATE\tSINCE\tCONTAINERS",
	func(r admin.HostRow) []any {
		return []any{r.Name, orDash(r.IP), r.State, moment(r.Since), r.Containers}
	},
}

var networkTable = table[admin.NetworkRow]{
	"NAME\tVNI\tCIDR\tTENANT\tMTU\tBRIDGE\tCONTAINERS",
	func(r admin.NetworkRow) []any {
		return []any{r.Name, r.VNI, r.CIDR, orDash(r.Tenant), orDash(r.MTU), orDash(r.Bridge), r.Containers}
	},
}

var containerTable = table[admin.ContainerRow]{
	"NAME\tNETWORK\tHOST\tIP\tSTATE\tMODE\tPID\tQPS\tMRS\tSINCE\tCOMMAND",
	func(r admin.ContainerRow) []any {
		return []any{r.Name, r.Network, orDash(r.Host), r.IP, r.State, orDash(r.Mode), orDash(r.PID), r.QPs, r.MRs, moment(r.Created),
			orDash(printable(strings.Join(r.Command, " ")))}
	},
}

var qpTable = table[admin.QPRow]{
	"CONTAINER\tPID\tQPN\tTYPE\tSTATE\tPEER\tPEER QPN\tFABRIC\tSENT\tRECEIVED",
	func(r admin.QPRow) []any {
		return []any{r.Container, r.PID, fmt.Sprintf("%#06x", r.QPN), r.Type, r.State, orDash(r.DestIP),
			hexOrDash(r.DestQPN), orDash(r.Fabric), size(r.TxBytes), size(r.RxBytes)}
	},
}

var cmIDTable = table[admin.CMIDRow]{
	"CONTAINER\tID\tPS\tSTATE\tLOCAL\tREMOTE\tQPN\tEVENTS",
	func(r admin.CMIDRow) []any {
		return []any{r.Container, r.ID, r.PortSpace, r.State, orDash(r.Local), orDash(r.Remote), hexOrDash(r.QPN), r.Events}
	},
}

var mrTable = table[admin.MRRow]{
	"ID\tCONTAINER\tPID\tLKEY\tRKEY\tADDRESS\tLENGTH\tSHARED\tACCESS",
	func(r admin.MRRow) []any {
		return []any{r.Host + "/" + strconv.FormatUint(r.ID, 10), r.Container, r.PID, fmt.Sprintf("%#08x", r.LKey), fmt.Sprintf("%#08x", r.RKey),
			fmt.Sprintf("%#x", r.Addr), size(r.Length), size(r.Shared), orDash(r.Access)}
	},
}

var counterTable = table[admin.CounterRow]{
	"GROUP\tNAME\tVALUE",
	func(r admin.CounterRow) []any { return []any{r.Group, r.Name, r.Value} },
}

// moment is a time as people read it.
func moment(t time.Time) any {
	if t.IsZero() {
		return "-"
	}
	return t.Local().Format("2006-01-02 15:04:05")
}

// orDash shows that there is nothing.
func orDash[T comparable](v T) any {
	var none T
	if v == none {
		return "-"
	}
	return v
}

func hexOrDash(n uint32) any {
	if n == 0 {
		return "-"
	}
	return fmt.Sprintf("%#06x", n)
}

// size is a number of bytes as people read it.
func size(bytes uint64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 {
		value, unit = value/1024, unit+1
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

// printable is what a container says of itself, without the means to write on the terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return '?'
		}
		return r
	}, s)
}
