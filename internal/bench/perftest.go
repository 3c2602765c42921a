package bench

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// perftestPort is where perftest's two sides meet unless told otherwise.
const perftestPort = 18515

// programTime bounds one program's run; on a busy machine one that takes a second can take a minute.
const programTime = 5 * time.Minute

// Bandwidth is a line of ib_*_bw.
type Bandwidth struct {
	Size    int
	Average float64 // bit/s
	Rate    float64 // messages/s
}

// Latency is a line of ib_*_lat, one way, in microseconds.
type Latency struct {
	Size                              int
	Min, Max, Typical, Avg, P99, P999 float64
}

// pairUp runs the same program on both sides, as perftest wants it, and returns what the client printed. While it runs, during
// (if not nil) gets the two processes.
func pairUp(ctx context.Context, server, client *Container, argv []string, during func(server, client int)) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	s, err := server.Serve(ctx, perftestPort, argv...)
	if err != nil {
		return "", err
	}
	c, err := client.Start(ctx, append(argv, server.IP.String())...)
	if err != nil {
		s.kill()
		return "", err
	}
	if during != nil {
		during(s.PID, c.PID)
	}
	text, err := c.Wait(ctx)
	if err != nil {
		s.kill()
		return "", err
	}
	_, err = s.Wait(ctx)
	return text, err
}

// MeasureBandwidth runs ib_OP_bw for a duration.
func MeasureBandwidth(ctx context.Context, server, client *Container, op string, size int, seconds int, more ...string) (Bandwidth, error) {
	argv := append([]string{"ib_" + op + "_bw", "-F", "-s", strconv.Itoa(size), "-D", strconv.Itoa(seconds)}, more...)
	text, err := pairUp(ctx, server, client, argv, nil)
	if err != nil {
		return Bandwidth{}, err
	}
	return oneLine(parseBandwidth(text))
}

// MeasureLatency runs ib_OP_lat.
func MeasureLatency(ctx context.Context, server, client *Container, op string, size, iterations int, more ...string) (Latency, error) {
	argv := append([]string{"ib_" + op + "_lat", "-F", "-s", strconv.Itoa(size), "-n", strconv.Itoa(iterations)}, more...)
	text, err := pairUp(ctx, server, client, argv, nil)
	if err != nil {
		return Latency{}, err
	}
	return oneLine(parseLatency(text))
}

// oneLine is the only line of a program's results.
func oneLine[T any](lines []T, err error) (T, error) {
	if err == nil && len(lines) != 1 {
		err = fmt.Errorf("perftest printed %d lines of results, want 1", len(lines))
	}
	if err != nil {
		var none T
		return none, err
	}
	return lines[0], nil
}

// parseBandwidth reads
//
//	#bytes     #iterations    BW peak[MB/sec]    BW average[MB/sec]   MsgRate[Mpps]
//	65536      1000             9342.41            3535.09		   0.056561
//
// where MB is 2^20 bytes, or, with --report_gbits, [Gb/sec] with 10^9 bits.
func parseBandwidth(text string) ([]Bandwidth, error) {
	head, rows, err := results(text, 5)
	if err != nil {
		return nil, err
	}
	unit := 8 * float64(1<<20)
	if strings.Contains(head, "Gb/sec") {
		unit = 1e9
	}
	var list []Bandwidth
	for _, r := range rows {
		list = append(list, Bandwidth{Size: int(r[0]), Average: r[3] * unit, Rate: r[4] * 1e6})
	}
	return list, nil
}

// parseLatency reads
//
//	#bytes #iterations    t_min[usec]    t_max[usec]  t_typical[usec]    t_avg[usec]    t_stdev[usec]   99% percentile[usec]   99.9% percentile[usec]
//	2       1000          3.81           40.36        4.29     	       5.62        	3.27   		19.66   		40.36
func parseLatency(text string) ([]Latency, error) {
	_, rows, err := results(text, 9)
	if err != nil {
		return nil, err
	}
	var list []Latency
	for _, r := range rows {
		list = append(list, Latency{Size: int(r[0]), Min: r[2], Max: r[3], Typical: r[4], Avg: r[5], P99: r[7], P999: r[8]})
	}
	return list, nil
}

// results finds perftest's table: its head, and its rows of that many numbers.
func results(text string, columns int) (head string, rows [][]float64, err error) {
	for line := range strings.Lines(text) {
		if strings.HasPrefix(strings.TrimSpace(line), "#bytes") {
			head = line
		} else if row := numbers(line); head != "" && len(row) == columns {
			rows = append(rows, row)
		}
	}
	if len(rows) == 0 {
		return "", nil, fmt.Errorf("no results in what perftest printed: %q", text)
	}
	return head, rows, nil
}

// numbers is a line of nothing but numbers, or nil. perftest's standard deviation is -nan if rounding made the variance negative.
func numbers(line string) []float64 {
	var row []float64
	for _, f := range strings.Fields(line) {
		v, err := strconv.ParseFloat(strings.Replace(f, "-nan", "nan", 1), 64)
		if err != nil {
			return nil
		}
		row = append(row, v)
	}
	return row
}
