package policy

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
)

// unit is a word behind a number, and how many of the smallest unit it is.
type unit struct {
	word string
	size uint64
}

var (
	rateUnits  = []unit{{"bit", 1}, {"kbit", 1e3}, {"Mbit", 1e6}, {"Gbit", 1e9}, {"Tbit", 1e12}}
	byteUnits  = []unit{{"", 1}, {"B", 1}, {"kB", 1e3}, {"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40}}
	countUnits = []unit{{"", 1}, {"k", 1e3}, {"M", 1e6}, {"G", 1e9}}
	// Of two that are as short, the one that stands first is written.
	byteShown = []unit{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}, {"TB", 1e12}, {"GB", 1e9}, {"MB", 1e6}, {"kB", 1e3}, {"", 1}}
)

// ParseRate reads bits per second: 5Gbit, 1500kbit, 2.5Gbitps. Units are decimal.
func ParseRate(text string) (uint64, error) {
	number, word := splitQuantity(text)
	word = strings.TrimSuffix(strings.TrimSuffix(word, "/s"), "ps")
	n, err := quantity(number, word, rateUnits)
	if err == nil {
		return n, nil
	}
	return 0, fmt.Errorf("%q: want bits per second%s", text, suggestRate(number, word))
}

// suggestRate is what may have been meant.
func suggestRate(number, word string) string {
	const example = ", such as 5Gbit or 1500kbit"
	word = strings.TrimSuffix(word, "ps")
	if u := word; strings.HasSuffix(u, "B") { // bytes: eight times as many
		if n, err := quantity(number, u, byteUnits); err == nil && n > 0 && n < 1<<60 {
			return ": write " + FormatRate(8*n)
		}
		return example
	}
	prefix := strings.TrimSuffix(strings.TrimSuffix(strings.ToLower(word), "bit"), "b")
	for _, u := range rateUnits {
		if _, err := quantity(number, u.word, rateUnits); err == nil && strings.EqualFold(prefix+"bit", u.word) && word != "" {
			return ": write " + number + u.word
		}
	}
	return example
}

// FormatRate writes bits per second so that ParseRate reads the same.
func FormatRate(bits uint64) string {
	for _, u := range slices.Backward(rateUnits) {
		if bits%u.size == 0 && bits > 0 || u.size == 1 {
			return strconv.FormatUint(bits/u.size, 10) + u.word
		}
	}
	return ""
}

// ParseBytes reads a number of bytes: 512, 64KiB, 1.5GB. KiB, MiB, ... are powers of 1024; kB, MB, ... of 1000.
func ParseBytes(text string) (uint64, error) {
	number, word := splitQuantity(text)
	n, err := quantity(number, word, byteUnits)
	if err == nil {
		return n, nil
	}
	for _, u := range byteUnits {
		bare := strings.TrimRight(u.word, "iB")
		if word != "" && wellFormed(number) && (strings.EqualFold(word, u.word) || strings.EqualFold(word, bare) && strings.HasSuffix(u.word, "iB")) {
			return 0, fmt.Errorf("%q: want a number of bytes: write %s%s", text, number, u.word)
		}
	}
	return 0, fmt.Errorf("%q: want a number of bytes, such as 512, 64KiB or 10GB", text)
}

// FormatBytes writes a number of bytes so that ParseBytes reads the same, as short as it can be.
func FormatBytes(n uint64) (best string) {
	for _, u := range byteShown {
		if n%u.size == 0 && (n > 0 || u.size == 1) {
			if text := strconv.FormatUint(n/u.size, 10) + u.word; best == "" || len(text) < len(best) {
				best = text
			}
		}
	}
	return best
}

// ParseCount reads a number of things: 100, 100k, 2.5M.
func ParseCount(text string) (uint64, error) {
	number, word := splitQuantity(text)
	n, err := quantity(number, word, countUnits)
	if err == nil {
		return n, nil
	}
	for _, u := range countUnits {
		if word != "" && wellFormed(number) && strings.EqualFold(word, u.word) {
			return 0, fmt.Errorf("%q: want a number: write %s%s", text, number, u.word)
		}
	}
	return 0, fmt.Errorf("%q: want a number, such as 100, 100k or 2M", text)
}

// FormatCount writes a number so that ParseCount reads the same.
func FormatCount(n uint64) string {
	for _, u := range slices.Backward(countUnits) {
		if n%u.size == 0 && n > 0 || u.size == 1 {
			return strconv.FormatUint(n/u.size, 10) + u.word
		}
	}
	return ""
}

// splitQuantity divides a quantity into its number and its unit.
func splitQuantity(text string) (number, word string) {
	end := strings.IndexFunc(text, func(r rune) bool { return r != '.' && (r < '0' || r > '9') })
	if end < 0 {
		return text, ""
	}
	return text[:end], text[end:]
}

// wellFormed says whether a text is digits, with a point in between at most.
func wellFormed(number string) bool {
	whole, part, point := strings.Cut(number, ".")
	return whole != "" && (part != "" || !point) && !strings.Contains(part, ".") && len(number) <= 24
}

func quantity(number, word string, units []unit) (uint64, error) {
	i := slices.IndexFunc(units, func(u unit) bool { return u.word == word })
	value, ok := new(big.Rat).SetString(number)
	if i < 0 || !ok || !wellFormed(number) {
		return 0, fmt.Errorf("%s%s", number, word)
	}
	value.Mul(value, new(big.Rat).SetInt(new(big.Int).SetUint64(units[i].size)))
	if !value.IsInt() || !value.Num().IsUint64() {
		return 0, fmt.Errorf("%s%s", number, word)
	}
	return value.Num().Uint64(), nil
}
