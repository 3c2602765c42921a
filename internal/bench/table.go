package bench

import (
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// Table is text in columns: words to the left, numbers to the right.
type Table struct {
	Head []string
	rows [][]string
}

// Add adds a row.
func (t *Table) Add(cells ...string) { t.rows = append(t.rows, cells) }

// Print prints the table with a rule below its head.
func (t *Table) Print(w io.Writer) error {
	widths := make([]int, len(t.Head))
	for _, row := range append([][]string{t.Head}, t.rows...) {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	var b strings.Builder
	t.line(&b, t.Head, widths)
	for i, n := range widths {
		b.WriteString(strings.Repeat("─", n))
		b.WriteString(map[bool]string{true: "\n", false: "  "}[i == len(widths)-1])
	}
	for _, row := range t.rows {
		t.line(&b, row, widths)
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (t *Table) line(b *strings.Builder, row []string, widths []int) {
	var line strings.Builder
	for i, cell := range row {
		pad := strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell))
		if isNumber(cell) {
			line.WriteString(pad + cell)
		} else {
			line.WriteString(cell + pad)
		}
		line.WriteString("  ")
	}
	b.WriteString(strings.TrimRight(line.String(), " "))
	b.WriteByte('\n')
}

// isNumber says whether a cell is a number, with a unit or without, and no sentence.
func isNumber(cell string) bool {
	return cell != "" && cell[0] >= '0' && cell[0] <= '9' && strings.Count(cell, " ") < 2
}

func gbits(bits float64) string  { return fmt.Sprintf("%.1f Gbit/s", bits/1e9) }
func micros(us float64) string   { return fmt.Sprintf("%.2f µs", us) }
func times(ratio float64) string { return fmt.Sprintf("%.1f×", ratio) }

// bytesText is a size as people write it.
func bytesText(n int) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	return fmt.Sprintf("%d B", n)
}
