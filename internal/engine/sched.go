package engine

// Scheduler is a worker's discipline: which of its items that have something to do has the next turn, and for how long. To add another, write one
// file with a type that does what is said here, and have New give it to the workers.
//
// A Scheduler is one worker's, which alone calls it, one method at a time; what several of them share is theirs to guard. An item is in one
// Scheduler at most:
//
//	Push ──▶ it waits ──Pop──▶ it runs ──Ran──▶ it is gone, and comes back by a Push, here or with another worker
//	                └───Take──▶ another worker's
//
// No method blocks, allocates for each turn, or takes longer than about the logarithm of the number of items. Who is held back must be given a turn
// within some milliseconds: a worker that has items and gets none sleeps until Next.
type Scheduler interface {
	// Push adds an item that was scheduled, or whose turn has ended with more to do.
	Push(it *Item, now int64)
	// Pop takes the item that goes next, and says for how much it may run: about so many bytes, or MessageCost for a smaller message.
	// nil: there is none, or those that there are shall wait.
	Pop(now int64) (it *Item, budget int)
	// Ran says what the turn came to of the item that Pop gave last: how much it used and its verdict.
	Ran(it *Item, used int, v Verdict, now int64)
	// Len is the number of items.
	Len() int
	// Next is when to call Pop again after it gave nothing although Len is not 0. Before that, if anything is pushed.
	Next() int64
	// Take gives one away that would have to wait for long, for a worker that has less to do; nil: none can be spared.
	Take() *Item
	// Hasty reports whether new rings are to be looked for before the next turn, because somebody who goes before all others may have rung.
	Hasty() bool
}
