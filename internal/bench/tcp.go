package bench

import (
	"context"
	"encoding/json"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

const (
	iperfPort = 5201
	qperfPort = 19765
)

// ServeTCP starts the servers of iperf3 and qperf, which stay.
func ServeTCP(ctx context.Context, server *Container) error {
	if _, err := server.Serve(ctx, iperfPort, "iperf3", "-s"); err != nil {
		return err
	}
	_, err := server.Serve(ctx, qperfPort, "qperf")
	return err
}

// Iperf is what iperf3 measured.
type Iperf struct {
	Bandwidth  float64 // bit/s, as the receiver saw it
	Congestion string  // the sender's congestion control
}

// MeasureIperf runs iperf3 with its defaults where nothing more is said.
func MeasureIperf(ctx context.Context, server, client *Container, seconds int, more ...string) (Iperf, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	argv := append([]string{"iperf3", "-J", "-t", strconv.Itoa(seconds), "-c", server.IP.String()}, more...)
	text, err := client.Run(ctx, argv...)
	if err != nil {
		return Iperf{}, err
	}
	return parseIperf(text)
}

func parseIperf(text string) (Iperf, error) {
	var r struct {
		Error string `json:"error"`
		End   struct {
			Received struct {
				Bits float64 `json:"bits_per_second"`
			} `json:"sum_received"`
			Congestion string `json:"sender_tcp_congestion"`
		} `json:"end"`
	}
	if err := json.Unmarshal([]byte(text), &r); err != nil {
		return Iperf{}, fmt.Errorf("read what iperf3 printed: %w", err)
	}
	if r.Error != "" || r.End.Received.Bits == 0 {
		return Iperf{}, fmt.Errorf("iperf3 measured nothing: %s", r.Error)
	}
	return Iperf{r.End.Received.Bits, r.End.Congestion}, nil
}

// MeasureTCPLatency is qperf tcp_lat: one way, an average, in microseconds.
func MeasureTCPLatency(ctx context.Context, server, client *Container, size, seconds int) (float64, error) {
	v, err := qperf(ctx, server, client, "tcp_lat", size, seconds)
	return v * 1e6, err
}

// MeasureTCPBandwidth is qperf tcp_bw with messages (calls of write) of a size, in bit/s.
func MeasureTCPBandwidth(ctx context.Context, server, client *Container, size, seconds int) (float64, error) {
	v, err := qperf(ctx, server, client, "tcp_bw", size, seconds)
	return v * 8, err
}

func qperf(ctx context.Context, server, client *Container, test string, size, seconds int) (float64, error) {
	ctx, cancel := context.WithTimeout(ctx, programTime)
	defer cancel()
	text, err := client.Run(ctx, "qperf", "-uu", "-m", strconv.Itoa(size), "-t", strconv.Itoa(seconds), server.IP.String(), test)
	if err != nil {
		return 0, err
	}
	return parseQperf(text)
}

var qperfResult = regexp.MustCompile(`(?m)^\s+(?:latency|bw)\s+=\s+([\d.,]+)\s+(\S+)`)

// qperfUnits are seconds, or bytes a second; K is 1000.
var qperfUnits = map[string]float64{
	"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "sec": 1,
	"bytes/sec": 1, "KB/sec": 1e3, "MB/sec": 1e6, "GB/sec": 1e9, "TB/sec": 1e12,
}

func parseQperf(text string) (float64, error) {
	m := qperfResult.FindStringSubmatch(text)
	if m == nil {
		return 0, fmt.Errorf("no result in what qperf printed: %q", text)
	}
	unit, ok := qperfUnits[m[2]]
	v, err := strconv.ParseFloat(strings.ReplaceAll(m[1], ",", ""), 64)
	if err != nil || !ok {
		return 0, fmt.Errorf("qperf printed %s %s", m[1], m[2])
	}
	return v * unit, nil
}
