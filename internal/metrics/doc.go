// Package metrics is what a router tells of itself: to Prometheus (Handler), and to the orchestrator, which adds up what containers use
// (Reporter). Both read a Source, which the router implements; what lives here knows neither queue pairs nor packets.
//
//	Source      what there is now, and what it has counted       source.go
//	Handler     the same in Prometheus' words                    handler.go, container.go, host.go
//	Book        what has to be told to the orchestrator until it says that it is kept: pure, no clock, no files   book.go
//	Reporter    a Book with a clock, a file and a way to send    reporter.go
//
// Reporter's methods may be called from any goroutine; Final is cheap and waits for nothing but a lock that is held for the
// time it takes to make a report. A Book belongs to one goroutine. A Source is asked from several goroutines at a time.
package metrics
