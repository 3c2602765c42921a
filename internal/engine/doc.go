// Package engine runs the router's workers: it sleeps until programs ring, and then lets the queue pairs that have work take
// turns.
//
// Words. A doorbell is a context's file of bits (docs/abi.md) in which a program marks the queue pairs that have work. An
// item is a queue pair as the engine sees it: something that can run for a while. A worker is a goroutine, in
// auto mode one a core, whose thread is bound there and goes before all others. A poster is the program's thread that rang.
//
// Modes (paper §5.2):
//
//	auto  one worker a core. The poster wakes the worker of its own core, which does the work there and sleeps again: a switch on
//	      the same core costs about a microsecond, a wake-up across cores twenty. Nothing spins.
//	fast  one worker on the last core spins over the doorbells of all contexts in this mode; nobody wakes it.
//	low   one worker at ordinary priority.
//
// Streaming. A poster that rings again and again without waiting would pay a switch for each message. So a worker that
// is woken in quick succession says in the doorbell file that it will look by itself (poll), and does so by a timer every
// tick until the stream ends. A stream shows in several messages found at a tick; where a tick finds but one, the program
// was waiting for it (a ping-pong), and the worker stays away from polling this doorbell for a while. See stream.go. An item that moves much in few
// messages is a stream too (Worker.Bulk), and a socket that brings much is looked at by timer (moderate.go).
//
// Turns. A worker's items take turns as its Scheduler says: a turn is a quantum of bytes, small messages count as MessageCost, so that no item
// holds a worker for more than about 100 µs. The scheduler of New knows strict classes and weighted shares (sched.go, shares.go,
// fair.go, group.go); without them it is deficit round robin.
//
// Who may call what: an Engine's methods, from any goroutine. Item.Run is called by one worker at a time. Worker's methods,
// only from within Run on that worker.
package engine
