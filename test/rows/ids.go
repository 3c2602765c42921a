package rows

import (
	"fmt"
	"strings"
)

// Listening looks for a listener on a port in a table of identifiers of RDMA-CM, a line each, as the rdma tool and freeflow print it.
func Listening(table string, port int) error {
	for line := range strings.Lines(table) {
		f := " " + strings.ToUpper(strings.Join(strings.Fields(line), " ")) + " "
		if strings.Contains(f, " LISTEN ") && strings.Contains(f, fmt.Sprintf(":%d ", port)) {
			return nil
		}
	}
	return fmt.Errorf("no identifier with port %d in:\n%s", port, table)
}

// Of gives the lines of a table that have a word.
func Of(word, table string) string {
	var b strings.Builder
	for line := range strings.Lines(table) {
		for _, f := range strings.Fields(line) {
			if f == word {
				b.WriteString(line)
				break
			}
		}
	}
	return b.String()
}
