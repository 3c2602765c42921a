package policy

import (
	"math"
	"strings"
	"testing"
)

func TestQuantities(t *testing.T) {
	for _, c := range []struct {
		parse  func(string) (uint64, error)
		format func(uint64) string
		text   string
		want   uint64
		shown  string // if not text
	}{
		{ParseRate, FormatRate, "5Gbit", 5e9, ""},
		{ParseRate, FormatRate, "100Mbitps", 100e6, "100Mbit"},
		{ParseRate, FormatRate, "100Mbit/s", 100e6, "100Mbit"},
		{ParseRate, FormatRate, "1500kbit", 1500e3, ""},
		{ParseRate, FormatRate, "2.5Gbit", 2500e6, "2500Mbit"},
		{ParseRate, FormatRate, "0.001Tbit", 1e9, "1Gbit"},
		{ParseRate, FormatRate, "7bit", 7, ""},
		{ParseBytes, FormatBytes, "512", 512, ""},
		{ParseBytes, FormatBytes, "64KiB", 64 << 10, ""},
		{ParseBytes, FormatBytes, "1MiB", 1 << 20, ""},
		{ParseBytes, FormatBytes, "10GB", 10e9, ""},
		{ParseBytes, FormatBytes, "1.5GiB", 3 << 29, "1536MiB"},
		{ParseBytes, FormatBytes, "3B", 3, "3"},
		{ParseCount, FormatCount, "100k", 100e3, ""},
		{ParseCount, FormatCount, "2M", 2e6, ""},
		{ParseCount, FormatCount, "0", 0, ""},
		{ParseCount, FormatCount, "12.5k", 12500, "12500"},
		{ParseCount, FormatCount, "18446744073709551615", math.MaxUint64, ""},
	} {
		got, err := c.parse(c.text)
		if err != nil || got != c.want {
			t.Errorf("%s: %d, %v, want %d", c.text, got, err, c.want)
		}
		if c.shown == "" {
			c.shown = c.text
		}
		if shown := c.format(c.want); shown != c.shown {
			t.Errorf("%d is shown as %s, want %s", c.want, shown, c.shown)
		}
	}
}

// What cannot be read says what to write.
func TestWrongQuantities(t *testing.T) {
	for _, c := range []struct {
		parse      func(string) (uint64, error)
		text, want string
	}{
		{ParseRate, "5G", "write 5Gbit"},
		{ParseRate, "5gbit", "write 5Gbit"},
		{ParseRate, "5Gbps", "write 5Gbit"},
		{ParseRate, "5mbit", "write 5Mbit"},
		{ParseRate, "5GB", "write 40Gbit"},
		{ParseRate, "5", "such as 5Gbit"},
		{ParseRate, "", "such as 5Gbit"},
		{ParseRate, "Gbit", "such as 5Gbit"},
		{ParseRate, "-5Gbit", "such as 5Gbit"},
		{ParseRate, "0.5bit", "such as 5Gbit"},
		{ParseRate, "5 Gbit", "such as 5Gbit"},
		{ParseRate, "99999999999Tbit", "such as 5Gbit"},
		{ParseBytes, "1mib", "write 1MiB"},
		{ParseBytes, "1M", "write 1MiB"},
		{ParseBytes, "1Gbit", "such as 512"},
		{ParseBytes, "1.0001", "such as 512"},
		{ParseBytes, "1.2.3", "such as 512"},
		{ParseBytes, "1/2", "such as 512"},
		{ParseCount, "1K", "write 1k"},
		{ParseCount, "0x10", "such as 100"},
		{ParseCount, "1_000", "such as 100"},
		{ParseCount, "18446744073709551616", "such as 100"},
	} {
		if got, err := c.parse(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %d, %v, want an error that says %q", c.text, got, err, c.want)
		}
	}
}

func FuzzQuantities(f *testing.F) {
	for _, text := range []string{"5Gbit", "1.5GiB", "100k", "5Gbps", "1e9", ".", "0000000000000000000000.1"} {
		f.Add(text, uint64(1500e6))
	}
	f.Fuzz(func(t *testing.T, text string, n uint64) {
		for _, q := range []struct {
			parse  func(string) (uint64, error)
			format func(uint64) string
		}{{ParseRate, FormatRate}, {ParseBytes, FormatBytes}, {ParseCount, FormatCount}} {
			_, _ = q.parse(text)
			if got, err := q.parse(q.format(n)); err != nil || got != n {
				t.Fatalf("%d is shown as %s and read as %d, %v", n, q.format(n), got, err)
			}
		}
	})
}
