package bench

import (
	"encoding/csv"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

// Figure is one of the paper's: for each series and x, what the rounds gave.
type Figure struct {
	Name  string // of its files
	Title string
	X     func(float64) string // how x is shown
	XName string
	Y     func(float64) string
	YName string

	series []string
	xs     []float64
	points map[point]Sample
}

type point struct {
	series string
	x      float64
}

// Add adds what one round gave.
func (f *Figure) Add(series string, x, y float64) {
	if f.points == nil {
		f.points = map[point]Sample{}
	}
	if !slices.Contains(f.series, series) {
		f.series = append(f.series, series)
	}
	if !slices.Contains(f.xs, x) {
		f.xs = append(f.xs, x)
	}
	p := point{series, x}
	f.points[p] = append(f.points[p], y)
}

// Print prints the medians: a row for each x, a column for each series.
func (f *Figure) Print(w io.Writer) error {
	t := Table{Head: append([]string{f.XName}, f.series...)}
	for _, x := range f.xs {
		row := []string{f.X(x)}
		for _, s := range f.series {
			cell := "-"
			if sample := f.points[point{s, x}]; sample != nil {
				cell = f.Y(sample.Median())
			}
			row = append(row, cell)
		}
		t.Add(row...)
	}
	if _, err := fmt.Fprintf(w, "\n%s (%s)\n\n", f.Title, f.YName); err != nil {
		return err
	}
	return t.Print(w)
}

// Write writes the figure as dir/NAME.csv, which bench/plot reads.
func (f *Figure) Write(dir string) error {
	file, err := os.Create(filepath.Join(dir, f.Name+".csv"))
	if err != nil {
		return fmt.Errorf("write figure %s: %w", f.Name, err)
	}
	defer file.Close()
	w := csv.NewWriter(file)
	rows := [][]string{{"series", "x", "median", "min", "max", "runs", "x_label"}}
	for _, s := range f.series {
		for _, x := range f.xs {
			if sample := f.points[point{s, x}]; sample != nil {
				low, high := sample.Range()
				rows = append(rows, []string{
					s, number(x), number(sample.Median()), number(low), number(high),
					strconv.Itoa(len(sample)), f.X(x),
				})
			}
		}
	}
	if err := w.WriteAll(rows); err != nil {
		return fmt.Errorf("write figure %s: %w", f.Name, err)
	}
	return file.Close()
}

func number(v float64) string { return strconv.FormatFloat(v, 'g', 6, 64) }

// How x and y are shown.
func inBytes(v float64) string   { return bytesText(int(v)) }
func whole(v float64) string     { return fmt.Sprintf("%.0f", v) }
func oneDigit(v float64) string  { return fmt.Sprintf("%.1f", v) }
func twoDigits(v float64) string { return fmt.Sprintf("%.2f", v) }
func three(v float64) string     { return fmt.Sprintf("%.3f", v) }

// significant shows three digits, wherever they stand.
func significant(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }

// named shows the numbers 0, 1, ... as names.
func named(names ...string) func(float64) string {
	return func(v float64) string { return names[int(v)] }
}
