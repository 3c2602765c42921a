package orchestrator

// ring is the recent past of a rate, in steps of a fixed length. Pure: times are arguments, ns.
type ring struct {
	first int64     // number of the step that is at index 0 of amounts, modulo their length
	last  int64     // number of the latest step
	tx    []float32 // bits
	rx    []float32
}

const (
	ringStep  = int64(2e9)
	ringSteps = 120
)

// add spreads what was counted between two times over the steps between them.
func (r *ring) add(from, to int64, tx, rx float64) {
	if to <= from {
		return
	}
	if r.tx == nil {
		r.tx, r.rx = make([]float32, ringSteps), make([]float32, ringSteps)
		r.first, r.last = from/ringStep, from/ringStep
	}
	from = max(from, to-ringStep*ringSteps)
	r.roll(to / ringStep)
	for step := from / ringStep; step <= to/ringStep; step++ {
		part := float64(min(to, (step+1)*ringStep)-max(from, step*ringStep)) / float64(to-from)
		if part <= 0 || step <= r.last-ringSteps || step < r.first {
			continue
		}
		i := step % ringSteps
		r.tx[i] += float32(tx * part)
		r.rx[i] += float32(rx * part)
	}
}

// roll makes step the latest.
func (r *ring) roll(step int64) {
	for n := max(r.last+1, step-ringSteps+1); n <= step; n++ {
		r.tx[n%ringSteps], r.rx[n%ringSteps] = 0, 0
	}
	r.last = max(r.last, step)
}

// rates are bits a second in the steps before the one that now is in, the oldest first, as many as there are.
func (r *ring) rates(now int64) (tx, rx []float32) {
	end := now / ringStep
	begin := end - ringSteps + 1
	tx, rx = make([]float32, 0, ringSteps), make([]float32, 0, ringSteps)
	for n := begin; n < end; n++ {
		if r.tx == nil || n > r.last || n <= r.last-ringSteps || n < r.first {
			tx, rx = append(tx, 0), append(rx, 0)
			continue
		}
		tx, rx = append(tx, r.tx[n%ringSteps]*1e9/float32(ringStep)), append(rx, r.rx[n%ringSteps]*1e9/float32(ringStep))
	}
	return tx, rx
}
