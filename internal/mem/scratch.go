package mem

// MaxSpans is room for the spans of one side of a copy: 32 SGEs, of which each may have an edge on both sides.
const MaxSpans = 3 * 32

// Scratch is what one worker needs to copy without allocating. A, B and C are for building lists of spans.
type Scratch struct {
	Bounce  [64 << 10]byte
	A, B, C [MaxSpans]Span
}
