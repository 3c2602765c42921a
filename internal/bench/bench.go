package bench

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
)

// Options are those of `freeflow bench figures` and `accept`.
type Options struct {
	Runs    int
	Quick   bool     // fewer sizes, for a first look
	Dir     string   // where the CSV files go
	Figures []string // which of them (for Accept: sections); none: all
	Out     io.Writer
	Notes   io.Writer // progress
}

// measure fills some figures.
type measure func(ctx context.Context, o Options) ([]*Figure, error)

var measures = []struct {
	name string
	run  measure
}{
	{"throughput", throughput},
	{"latency", latency},
	{"modes", modes},
	{"pairs", pairs},
	{"registration", registration},
	{"idle", idle},
	{"limits", limits},
	{"isolation", isolation},
	{"hosts", hostsWith(9000)}, // jumbo frames
	{"hosts", hostsWith(1500)}, // and what most networks have
}

// FigureNames are what Options.Figures can hold.
func FigureNames() []string {
	var names []string
	for _, m := range measures {
		names = append(names, m.name)
	}
	return slices.Compact(names)
}

// Figures measures, prints and writes figures.
func Figures(ctx context.Context, o Options) error {
	for _, name := range o.Figures {
		if !slices.Contains(FigureNames(), name) {
			return fmt.Errorf("bench: no figure %q: there are %s", name, strings.Join(FigureNames(), ", "))
		}
	}
	if err := os.MkdirAll(o.Dir, 0o755); err != nil {
		return fmt.Errorf("make the directory of results: %w", err)
	}
	for _, m := range measures {
		if !o.wants(m.name) {
			continue
		}
		figures, err := m.run(ctx, o)
		if err != nil {
			return fmt.Errorf("bench %s: %w", m.name, err)
		}
		for _, f := range figures {
			if err := f.Print(o.Out); err != nil {
				return err
			}
			if err := f.Write(o.Dir); err != nil {
				return err
			}
		}
	}
	return nil
}

// wants says whether a figure or section is among those asked for.
func (o Options) wants(name string) bool {
	return len(o.Figures) == 0 || slices.Contains(o.Figures, name)
}

// rounds measures Runs times in one world with two containers and TCP's servers.
func (o Options) rounds(ctx context.Context, name, mode string, round func(w *World, server, client *Container) error) error {
	w, err := NewWorld(ctx, mode)
	if err != nil {
		return err
	}
	defer w.Close()
	server, client, err := w.Pair(ctx)
	if err != nil {
		return err
	}
	if err := ServeTCP(ctx, server); err != nil {
		return err
	}
	for i := range o.Runs {
		fmt.Fprintf(o.Notes, "%s: round %d of %d\n", name, i+1, o.Runs)
		if err := round(w, server, client); err != nil {
			return err
		}
	}
	return nil
}
