package udp

// NewBatch makes another Batch on the i-th socket, for a worker that sends and has no socket of its own to receive on. It counts with
// the socket's.
func (p *Port) NewBatch(i int) *Batch {
	s := p.sockets[i]
	return newBatch(s.fd, cap(s.Batch.runs), &p.features, &s.Counters)
}
