package top

import (
	"fmt"
	"strings"
	"unicode"
)

// Size is the terminal's, in characters. Zero is as much as there is.
type Size struct{ Width, Height int }

// Line is one of the lines shown.
type Line struct {
	Text string
	Head bool // names columns
}

// section is one of the lists.
type section struct {
	head string
	rows []string
}

const traffic = "%9s %9s %9s %9s" // of the columns below

var trafficHead = fmt.Sprintf(traffic, "TX BIT/S", "RX BIT/S", "TX MSG/S", "RX MSG/S")

// Lines lays the view out. What a list has no room for is left out, and the last line that it has says how much that is.
func (v *View) Lines(s Size) []Line {
	sections := []section{v.hosts(), v.containers(), v.qps()}
	room := share(sections, s.Height-1)
	lines := []Line{{Text: v.summary()}}
	for i, sec := range sections {
		if room[i] == 0 && len(sec.rows) > 0 {
			continue
		}
		lines = append(lines, Line{}, Line{Text: sec.head, Head: true})
		rows := sec.rows
		if left := len(rows) - room[i]; left > 0 {
			rows = append(rows[:room[i]-1:room[i]-1], fmt.Sprintf("... and %d more", left+1))
		}
		for _, r := range rows {
			lines = append(lines, Line{Text: r})
		}
	}
	for i := range lines {
		lines[i].Text = clip(lines[i].Text, s.Width)
	}
	if s.Height > 0 && len(lines) > s.Height {
		lines = lines[:s.Height]
	}
	return lines
}

// share divides height among the sections, each with two lines above its rows: hosts and containers get what they need up
// to a quarter each, the queue pairs the rest.
func share(sections []section, height int) []int {
	room := make([]int, len(sections))
	left := height
	for i, s := range sections {
		want := len(s.rows)
		switch {
		case height < 0: // no limit
			room[i] = want
			continue
		case i < len(sections)-1:
			want = min(want, max(height/4-2, 1))
		}
		room[i] = max(min(want, left-2), 0)
		left -= room[i] + 2
	}
	return room
}

func (v *View) summary() string {
	text := fmt.Sprintf("freeflow %s  %d containers, %d queue pairs", v.At.Format("15:04:05"), len(v.Containers), len(v.QPs))
	if !v.Measured {
		return text + "  measuring"
	}
	return fmt.Sprintf("%s  sent %sbit/s %smsg/s", text, si(8*v.Total.TxBytes), si(v.Total.TxMsgs))
}

func (v *View) hosts() section {
	s := section{head: fmt.Sprintf("%-16s %-15s %-10s %5s %s", "HOST", "IP", "STATE", "CONT", trafficHead)}
	for i := range v.Hosts {
		h := &v.Hosts[i]
		ip := "-"
		if h.IP.IsValid() {
			ip = h.IP.String()
		}
		t := v.rates(h.Rates)
		if !h.Known {
			t = fmt.Sprintf(traffic, "-", "-", "-", "-")
		}
		s.rows = append(s.rows, fmt.Sprintf("%-16s %-15s %-10s %5d %s", clean(h.Name, 16), ip, clean(h.State, 10), h.Containers, t))
	}
	return s
}

func (v *View) containers() section {
	s := section{head: fmt.Sprintf("%-16s %-15s %-10s %5s %s", "CONTAINER", "IP", "NETWORK", "QPS", trafficHead)}
	for i := range v.Containers {
		c := &v.Containers[i]
		ip := "-"
		if c.IP.IsValid() {
			ip = c.IP.String()
		}
		s.rows = append(s.rows, fmt.Sprintf("%-16s %-15s %-10s %5d %s", clean(c.Name, 16), ip, clean(c.Network, 10), c.QPs, v.rates(c.Rates)))
	}
	return s
}

func (v *View) qps() section {
	s := section{head: fmt.Sprintf("%-16s %7s %-8s %-4s %-5s %-15s %-7s %s", "QUEUE PAIR OF", "PID", "QPN", "TYPE", "STATE", "PEER", "FABRIC", trafficHead)}
	for i := range v.QPs {
		q := &v.QPs[i]
		peer := "-"
		if q.DestIP.IsValid() {
			peer = q.DestIP.String()
		}
		fabric := q.Fabric
		if fabric == "" {
			fabric = "-"
		}
		s.rows = append(s.rows, fmt.Sprintf("%-16s %7d %#06x %-4s %-5s %-15s %-7s %s",
			clean(q.Container, 16), q.PID, q.QPN, clean(q.Type, 4), clean(q.State, 5), clean(peer, 15), clean(fabric, 7), v.rates(q.Rates)))
	}
	return s
}

func (v *View) rates(r Rates) string {
	if !v.Measured {
		return fmt.Sprintf(traffic, "-", "-", "-", "-")
	}
	return fmt.Sprintf(traffic, si(8*r.TxBytes), si(8*r.RxBytes), si(r.TxMsgs), si(r.RxMsgs))
}

// si is a number with three digits and a prefix: 999, 1.23k, 45.6M.
func si(x float64) string {
	if x < 999.5 {
		return fmt.Sprintf("%.0f", x)
	}
	const prefixes = "kMGTPE"
	i := -1
	for x >= 999.5 && i < len(prefixes)-1 {
		x, i = x/1000, i+1
	}
	switch {
	case x < 9.995:
		return fmt.Sprintf("%.2f%c", x, prefixes[i])
	case x < 99.95:
		return fmt.Sprintf("%.1f%c", x, prefixes[i])
	}
	return fmt.Sprintf("%.0f%c", x, prefixes[i])
}

// clean is a name in at most n characters, without the means to write on the terminal.
func clean(s string, n int) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '?'
	}, s)
	if r := []rune(s); len(r) > n {
		return string(r[:n-1]) + "+"
	}
	return s
}

// clip cuts a line at the terminal's edge.
func clip(s string, width int) string {
	if r := []rune(s); width > 0 && len(r) > width {
		s = string(r[:width])
	}
	return strings.TrimRight(s, " ")
}
