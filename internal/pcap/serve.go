package pcap

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"time"
)

// rest is how long the reader sleeps when there is nothing to read.
const rest = time.Millisecond

// Serve answers GET /v1/capture: a capture as a stream that ends after the packets asked for, or with the request's
// context. While it runs, another is refused (409). GET /v1/capture?stats=1 answers with the Stats of the capture that ended last.
//
// Who may ask was checked before: packets hold what the containers say to each other.
func Serve(w http.ResponseWriter, r *http.Request, t *Tap) {
	if r.URL.Query().Has("stats") {
		var s Stats
		running := t.Active() // before the last one's are read, which are written before the tap is off
		if last := t.last.Load(); last != nil {
			s = *last
		}
		s.Running = running
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(s) // a client that went away is nobody's error
		return
	}
	q, err := parseQuery(r.URL.Query())
	if err != nil {
		fail(w, http.StatusBadRequest, err)
		return
	}
	ring, err := t.start(q.Filter)
	if err != nil {
		fail(w, http.StatusConflict, err)
		return
	}
	captured := uint64(0)
	defer func() { t.stop(ring, captured) }()
	w.Header().Set("Content-Type", "application/vnd.tcpdump.pcap")
	out := stream{buf: bufio.NewWriterSize(w, 256<<10), flush: http.NewResponseController(w).Flush}
	if out.w, err = NewWriter(out.buf); err != nil || out.push() != nil {
		return
	}
	for r.Context().Err() == nil && (q.Count == 0 || captured < q.Count) {
		s := ring.next()
		if s == nil {
			if out.push() != nil {
				return
			}
			time.Sleep(rest)
			continue
		}
		err := out.w.Write(Record{At: s.at, Frame: s.frame[:s.n], Length: s.length})
		ring.done(s)
		if err != nil {
			return
		}
		captured++
	}
	_ = out.push()
}

// stream is a capture on its way to the client.
type stream struct {
	w     *Writer
	buf   *bufio.Writer
	flush func() error
}

// push sends what is buffered.
func (s *stream) push() error {
	if s.buf.Buffered() == 0 {
		return nil
	}
	return errors.Join(s.buf.Flush(), s.flush())
}

// fail answers with an error, as package admin does.
func fail(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": err.Error()})
}
