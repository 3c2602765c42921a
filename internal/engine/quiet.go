package engine

// Muting: a program that wakes a worker again and again for nothing (its queues were empty, or it writes to its eventfd by
// itself) would take the core from others at the worker's priority. After needlessWakes in a row its eventfd is not watched for a
// pause, which doubles each time up to pauseMax and is forgotten with the first message. See Worker.mute.

const (
	needlessWakes = 64
	pauseMin      = 1_000_000  // ns
	pauseMax      = 16_000_000 //
)

// quiet is what one worker knows of one doorbell's needless ringing.
type quiet struct {
	needless int   // wake-ups in a row without a message between them
	done     int   // messages since the last wake-up
	pause    int64 // ns, of the next mute
}

// woken counts a wake-up and gives how long not to be woken; 0: go on.
func (q *quiet) woken() int64 {
	if q.done > 0 {
		*q = quiet{}
		return 0
	}
	if q.needless++; q.needless < needlessWakes {
		return 0
	}
	q.needless = 0
	q.pause = min(max(2*q.pause, pauseMin), pauseMax)
	return q.pause
}

// muted is a doorbell whose eventfd a worker does not watch until a time.
type muted struct {
	d    *Doorbell
	k    *wake
	till int64
}
