package engine

// Streaming: when to look at a doorbell by timer instead of being woken for each ring (package comment).
//
//	           streakStart quick wake-ups                tick found a stream
//	 woken ──────────────────────────────▶ on trial ───────────────────────────▶ polling
//	   ▲                                      │ first tick found no stream           │ idleTicks ticks found nothing
//	   └──────────────────────────────────────┴───────────────────────────────┘
//
// After a failed trial the doorbell needs twice as many quick wake-ups for the next, up to streakMax.

const (
	quickWake   = 50_000    // ns: a wake-up this soon after the last one is a quick one; to another host and back takes 40 µs
	streakStart = 16        // quick wake-ups before a trial
	streakMax   = 65_536    //
	streamTick  = 15_000    // ns between looks
	streamFound = 4         // messages at a tick that make a stream
	idleTicks   = 32        // ticks with nothing, or with no stream, that end it: about half a millisecond
	bulkHold    = 2_000_000 // ns for which an item that moves much makes its doorbell a stream
)

// stream is what one worker knows of one doorbell's ringing.
type stream struct {
	last     int64 // the last wake-up
	streak   int   // quick wake-ups in a row
	need     int   // of them for the next trial
	trial    bool  // no stream has been seen since polling began
	looks    int   // since then
	poor     int   // ticks in a row without a stream
	messages int   // done since the last look
	bulk     int64 // until when it is a stream whatever its messages
}

// woken counts a wake-up by a ring and reports whether it is time to poll.
func (s *stream) woken(now int64) bool {
	if s.need == 0 {
		s.need = streakStart
	}
	quick := now-s.last < quickWake
	s.last = now
	if !quick {
		s.streak = 0
		return false
	}
	s.streak++
	if s.streak < s.need {
		return false
	}
	s.begin()
	return true
}

// begin begins a trial.
func (s *stream) begin() { s.streak, s.trial, s.poor, s.messages, s.looks = 0, true, 0, 0, 0 }

// looked judges what was done since the last look and reports whether to go on polling.
func (s *stream) looked(now int64) bool {
	n := s.messages
	s.messages = 0
	if now < s.bulk {
		return true
	}
	if s.looks++; s.looks == 1 {
		return true // what was done until now was rung for; this look finds the first that was not
	}
	if n >= streamFound {
		s.trial, s.poor, s.need = false, 0, streakStart
		return true
	}
	if s.trial && n > 0 {
		s.need = min(2*s.need, streakMax)
		return false
	}
	s.poor++
	return s.poor < idleTicks
}
