package top

import "strings"

// Control sequences (ECMA-48; the alternate screen is xterm's).
const (
	Enter = "\x1b[?1049h\x1b[?25l" // to the alternate screen, without a cursor
	Leave = "\x1b[?25h\x1b[?1049l" // and back to what stood there

	home      = "\x1b[H"
	eraseLine = "\x1b[K"
	eraseRest = "\x1b[J"
	reverse   = "\x1b[7m"
	normal    = "\x1b[m"
)

// Screen is the lines as they are drawn over the last ones. Nothing is erased before it is written anew, so nothing flickers. The last line has
// no end, which would scroll the screen.
func Screen(lines []Line) string {
	var b strings.Builder
	b.WriteString(home)
	for i, l := range lines {
		if i > 0 {
			b.WriteString("\r\n")
		}
		if l.Head {
			b.WriteString(reverse)
		}
		b.WriteString(l.Text)
		if l.Head {
			b.WriteString(normal)
		}
		b.WriteString(eraseLine)
	}
	b.WriteString(eraseRest)
	return b.String()
}

// Plain is the lines as text.
func Plain(lines []Line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.Text)
		b.WriteByte('\n')
	}
	return b.String()
}
