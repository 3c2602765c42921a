// Package top turns lists of what a router has, taken again and again, into rates: how much each queue pair, container and host sends
// and receives now. It is pure: snapshots in, lines of text out. Asking the router, the clock and the terminal are the command's.
//
//	Snapshot ──▶ Model.Update ──▶ View ──▶ View.Lines(size) ──▶ Plain or Screen
//
// Rates come from the differences of a queue pair's counters between two snapshots. Those of containers and hosts are the sums of
// their queue pairs' rates, not differences of sums: a queue pair that ends takes its counters away.
//
// A Model is one goroutine's.
package top
