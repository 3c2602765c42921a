// Plot draws the CSV files that `freeflow bench figures` writes: for each DIR/NAME.csv that it knows, DIR/NAME.png, with the medians
// and, as bars, the lowest and highest of the rounds.
package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
)

func main() {
	if len(os.Args) != 2 {
		fmt.Fprintln(os.Stderr, "usage: plot DIR")
		os.Exit(2)
	}
	if err := drawAll(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func drawAll(dir string) error {
	for _, s := range specs {
		data, err := read(filepath.Join(dir, s.name+".csv"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		file := filepath.Join(dir, s.name+".png")
		if err := render(s, data, file); err != nil {
			return fmt.Errorf("draw %s: %w", s.name, err)
		}
		fmt.Println(file)
	}
	return nil
}

// series is one line, or one colour of bars.
type series struct {
	name   string
	points []point
}

type point struct {
	x, median, low, high float64
	label                string
}

// read reads a figure's series in the order in which they stand.
func read(file string) ([]series, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", file, err)
	}
	var list []series
	for i, row := range rows[min(1, len(rows)):] {
		p := point{label: row[len(row)-1]}
		for j, into := range []*float64{&p.x, &p.median, &p.low, &p.high} {
			if *into, err = strconv.ParseFloat(row[j+1], 64); err != nil {
				return nil, fmt.Errorf("read %s: row %d: %w", file, i+2, err)
			}
		}
		at := slices.IndexFunc(list, func(s series) bool { return s.name == row[0] })
		if at < 0 {
			at, list = len(list), append(list, series{name: row[0]})
		}
		list[at].points = append(list[at].points, p)
	}
	return list, nil
}
