package main

import (
	"image/color"
	"math"
	"slices"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/plotutil"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// spec says how a figure is drawn.
type spec struct {
	name, title, x, y string
	bars              bool // by name instead of lines over numbers
	logY              bool
}

var specs = []spec{
	{name: "throughput", title: "Throughput, same host", x: "message size", y: "Gbit/s", logY: true},
	{name: "rate", title: "Messages a second, same host", x: "message size", y: "million/s", logY: true},
	{name: "latency", title: "Latency, same host, one way", x: "message size", y: "µs", logY: true},
	{name: "modes-latency", title: "Latency by engine mode, 2 B SEND", y: "µs", bars: true},
	{name: "modes-throughput", title: "Throughput by engine mode, 64 KiB SEND", y: "Gbit/s", bars: true},
	{name: "modes-rate", title: "Messages a second by engine mode, 64 B SEND", y: "million/s", bars: true},
	{name: "cpu", title: "CPU while 1 MiB messages are sent", y: "% of a core", bars: true},
	{name: "pairs", title: "All pairs together, 64 KiB SEND", x: "pairs", y: "Gbit/s"},
	{name: "fairness", title: "Fairness among pairs", x: "pairs", y: "Jain's index"},
	{name: "registration", title: "Registering memory", x: "size", y: "ms", logY: true},
	{name: "idle", title: "Router with ten idle containers", y: "% of a core", bars: true},
	{name: "limits", title: "One flow under a rate limit", x: "cap, Gbit/s", y: "Gbit/s", logY: true},
	{name: "limits-cpu", title: "Router's CPU at 5 Gbit/s, held by the limiter and by the program", y: "% of a core", bars: true},
	{name: "isolation", title: "64-byte ping-pong, alone and beside 100 greedy queue pairs", y: "µs", bars: true},
	{name: "hosts-9000-throughput", title: "Throughput, two hosts, underlay MTU 9000", x: "message size", y: "Gbit/s", logY: true},
	{name: "hosts-9000-rate", title: "Messages a second, two hosts, underlay MTU 9000", x: "message size", y: "million/s", logY: true},
	{name: "hosts-9000-latency", title: "Latency, two hosts, underlay MTU 9000, one way", x: "message size", y: "µs", logY: true},
	{name: "hosts-9000-cpu", title: "CPU time, 64 KiB messages, two hosts, underlay MTU 9000", y: "s a gigabyte", bars: true},
	{name: "hosts-1500-throughput", title: "Throughput, two hosts, underlay MTU 1500", x: "message size", y: "Gbit/s", logY: true},
	{name: "hosts-1500-rate", title: "Messages a second, two hosts, underlay MTU 1500", x: "message size", y: "million/s", logY: true},
	{name: "hosts-1500-latency", title: "Latency, two hosts, underlay MTU 1500, one way", x: "message size", y: "µs", logY: true},
	{name: "hosts-1500-cpu", title: "CPU time, 64 KiB messages, two hosts, underlay MTU 1500", y: "s a gigabyte", bars: true},
}

const (
	width  = 8 * vg.Inch
	height = 5 * vg.Inch
)

func render(s spec, data []series, file string) error {
	p := plot.New()
	p.Title.Text, p.X.Label.Text, p.Y.Label.Text = s.title, s.x, s.y
	p.BackgroundColor = color.White
	p.Legend.Top = true
	p.Title.Padding, p.X.Padding = vg.Points(8), vg.Points(4)
	p.Add(plotter.NewGrid())
	if s.bars {
		if err := addBars(p, data); err != nil {
			return err
		}
	} else if err := addLines(p, s, data); err != nil {
		return err
	}
	p.Legend.TextStyle.Font.Size = vg.Points(9)
	if s.logY {
		p.Y.Max *= math.Pow(p.Y.Max/p.Y.Min, float64(len(data))/25) // room for the legend
	} else {
		p.Y.Max *= 1 + float64(len(data))/15
	}
	return p.Save(width, height, file)
}

// addLines draws medians over a logarithmic x, with the range of the rounds.
func addLines(p *plot.Plot, s spec, data []series) error {
	p.X.Scale = plot.LogScale{}
	p.X.Tick.Marker = plot.ConstantTicks(ticks(data))
	p.X.Tick.Label.Rotation, p.X.Tick.Label.XAlign, p.X.Tick.Label.YAlign = math.Pi/4, draw.XRight, draw.YTop
	p.Legend.Left = true
	if s.logY {
		p.Y.Scale, p.Y.Tick.Marker = plot.LogScale{}, plot.LogTicks{Prec: -1}
	} else {
		p.Y.Min = 0
	}
	for i, line := range data {
		var xys plotter.XYs
		var spread plotter.YErrors
		for _, pt := range line.points {
			if s.logY && pt.low <= 0 {
				continue // not on a logarithmic scale
			}
			xys = append(xys, plotter.XY{X: pt.x, Y: pt.median})
			spread = append(spread, struct{ Low, High float64 }{pt.median - pt.low, pt.high - pt.median})
		}
		l, dots, err := plotter.NewLinePoints(xys)
		if err != nil {
			return err
		}
		l.Color, l.Dashes, l.Width = plotutil.Color(i), plotutil.Dashes(i/7), vg.Points(1.5)
		dots.Color, dots.Shape = l.Color, plotutil.Shape(i)
		errs, err := plotter.NewYErrorBars(struct {
			plotter.XYs
			plotter.YErrors
		}{xys, spread})
		if err != nil {
			return err
		}
		errs.Color = l.Color
		p.Add(l, dots, errs)
		p.Legend.Add(line.name, l, dots)
	}
	return nil
}

// ticks are at every x there is, or every second if there are many.
func ticks(data []series) []plot.Tick {
	var list []plot.Tick
	for _, line := range data {
		for _, pt := range line.points {
			if !slices.ContainsFunc(list, func(t plot.Tick) bool { return t.Value == pt.x }) {
				list = append(list, plot.Tick{Value: pt.x, Label: pt.label})
			}
		}
	}
	if len(list) > 12 {
		for i := range list {
			if i%2 == 1 {
				list[i].Label = ""
			}
		}
	}
	return list
}

// groups is how many groups of bars there are.
func groups(data []series) int {
	most := 0
	for _, s := range data {
		for _, pt := range s.points {
			most = max(most, int(pt.x))
		}
	}
	return most + 1
}

// addBars draws a group of bars for each x.
func addBars(p *plot.Plot, data []series) error {
	p.Y.Min = 0
	thick := min(vg.Points(120), 0.75*width/vg.Length(groups(data))) / vg.Length(max(2, len(data)))
	names := map[int]string{}
	for i, s := range data {
		values := make(plotter.Values, groups([]series{s}))
		for _, pt := range s.points {
			values[int(pt.x)], names[int(pt.x)] = pt.median, pt.label
		}
		bars, err := plotter.NewBarChart(values, thick)
		if err != nil {
			return err
		}
		bars.Color, bars.LineStyle.Width = plotutil.Color(i), 0
		bars.Offset = thick * vg.Length(float64(i)-float64(len(data)-1)/2)
		p.Add(bars)
		p.Legend.Add(s.name, bars)
	}
	labels := make([]string, len(names))
	for i := range labels {
		labels[i] = names[i]
	}
	p.NominalX(labels...)
	return nil
}
