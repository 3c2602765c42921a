package engine

// Muting: a program that wakes a worker again and again for nothing (its queues were empty, or it writes to its eventfd by
// itself) would take the core from others at the worker's priority. After needlessWakes in a row its eventfd is not watched for a
// pause, which doubles each time up to pauseMax and is forgotten with the first message. See Worker.mute.
//
// A ring of which an item hears that is held back by its share, or has work to do already, is no needless one; but a program cannot post for ever
// without anything being done, so only heldWakes of them in a row are let pass. One of an item that waits for a limit is worth laterWakes:
// nothing can come of it, and the mute ends with the message that does.

const (
	needlessWakes = 64
	heldWakes     = 512
	laterWakes    = 16
	pauseMin      = 1_000_000  // ns
	pauseMax      = 16_000_000 //
)

// quiet is what one worker knows of one doorbell's needless ringing.
type quiet struct {
	needless int   // wake-ups in a row without a message between them
	done     int   // messages since the last wake-up
	pause    int64 // ns, of the next mute
	held     bool  // the last wake-up was of an item that is held back
	waits    int   // such wake-ups since the last message
}

// woken counts a wake-up and gives how long not to be woken; 0: go on.
func (q *quiet) woken() int64 {
	if q.done > 0 {
		*q = quiet{}
		return 0
	}
	if q.held {
		q.held = false
		if q.waits++; q.waits < heldWakes {
			return 0
		}
	}
	if q.needless++; q.needless < needlessWakes {
		return 0
	}
	q.needless = 0
	q.pause = min(max(2*q.pause, pauseMin), pauseMax)
	return q.pause
}

// lifted reports that the mute is over before its time: a message was done.
func (q *quiet) lifted() bool { return q.done > 0 }

// muted is a doorbell whose eventfd a worker does not watch until a time.
type muted struct {
	d    *Doorbell
	k    *wake
	till int64
}
