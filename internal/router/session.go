package router

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// openTimeout is how long a connection may be there without a context.
const openTimeout = 10 * time.Second

// session is one connection. Its goroutine owns it; only the connection's Close may come from elsewhere.
//
//	connected ──OPEN, JOIN──▶ open ──▶ ended: connection closed, by whichever side, or a malformed message
type session struct {
	server  *server
	conn    *fdconn.Conn
	peer    *fdconn.Peer
	tenant  *tenant
	ctx     *shared        // nil until OPEN or JOIN
	process *verbs.Process // nil until then
	buf     []byte         // for replies
}

// reply is what a request is answered with. The files are sent; sent is closed then.
type reply struct {
	body  []byte
	files []*os.File
	sent  *os.File
}

// run serves requests until the connection ends.
func (s *session) run() {
	defer s.end()
	err := s.conn.SetReceiveDeadline(time.Now().Add(openTimeout))
	for err == nil {
		err = s.step()
	}
	if !errors.Is(err, io.EOF) && !errors.Is(err, net.ErrClosed) {
		s.server.log.Debug("connection ended", "pid", s.peer.PID, "error", err)
	}
}

// step serves one request. An error ends the session.
func (s *session) step() error {
	b, err := s.conn.Receive()
	if err != nil {
		return err
	}
	q, err := fdconn.ParseRequest(b)
	if err != nil {
		return err
	}
	r, err := s.serve(q)
	if r.sent != nil {
		defer r.sent.Close()
		r.files = append(r.files, r.sent)
	}
	errno, fault := errnoOf(err)
	if fault {
		s.server.log.Error("request failed", "op", q.Op, "pid", s.peer.PID, "error", err)
	}
	s.buf = q.AppendReply(s.buf[:0], errno, r.body)
	return s.conn.Send(s.buf, r.files...)
}

// serve answers one request.
func (s *session) serve(q fdconn.Request) (reply, error) {
	switch {
	case s.tenant.container == nil:
		return reply{}, syscall.EACCES
	case q.Op == fdconn.OpOpen:
		return s.open(q.Body)
	case q.Op == fdconn.OpJoin:
		return s.join(q.Body)
	case q.Op == fdconn.OpOpenCM:
		return s.openCM(q.Body)
	case q.Op == fdconn.OpCMCommand:
		return s.cmCommand(q.Body)
	case s.ctx == nil:
		return reply{}, syscall.EINVAL
	}
	switch q.Op {
	case fdconn.OpCommand:
		return s.command(q.Body)
	case fdconn.OpMemAlloc:
		return s.memAlloc(q.Body)
	case fdconn.OpMemFree:
		return s.memFree(q.Body)
	case fdconn.OpUnshare:
		return s.unshare(q.Body)
	case fdconn.OpDoorbell:
		return s.doorbell(q.Body)
	}
	return reply{}, syscall.EOPNOTSUPP
}

func (s *session) open(body []byte) (reply, error) {
	q, err := fdconn.ParseOpen(body)
	if err != nil {
		return reply{}, err
	}
	r, err := s.begin(q, func() (*shared, error) { return s.server.open(s.tenant) })
	if err != nil {
		return reply{}, err
	}
	s.ctx.SetPID(s.peer.PID)
	r.files = s.ctx.files()
	return r, nil
}

func (s *session) join(body []byte) (reply, error) {
	q, err := fdconn.ParseJoin(body)
	if err != nil {
		return reply{}, err
	}
	return s.begin(q.Open, func() (*shared, error) { return s.server.join(s.tenant, q.ContextID, q.Token) })
}

// begin gives the session its process' memory and the context that get gets.
func (s *session) begin(q fdconn.Open, get func() (*shared, error)) (reply, error) {
	switch {
	case q.Version != fdconn.ABIVersion:
		return reply{}, syscall.EPROTONOSUPPORT
	case q.Flags != 0, s.ctx != nil:
		return reply{}, syscall.EINVAL
	}
	process, err := memoryOf(s.peer)
	if err != nil {
		s.server.log.Debug("cannot reach a program's memory", "pid", s.peer.PID, "error", err)
		return reply{}, syscall.EACCES
	}
	ctx, err := get()
	if err != nil {
		process.Close()
		return reply{}, err
	}
	s.process, s.ctx = process, ctx
	o, err := ctx.opened(s.server.dev.WorkerOfCPU())
	if err != nil {
		return reply{}, err
	}
	return reply{body: o.Append(nil)}, s.conn.SetReceiveDeadline(time.Time{})
}

func (s *session) command(body []byte) (reply, error) {
	q, err := fdconn.ParseCommand(body)
	if err != nil {
		return reply{}, err
	}
	c := call{ctx: s.ctx, process: s.process, container: s.tenant.container, aux: q.Aux, extents: q.Extents}
	r, err := c.dispatch(q.Cmd)
	return reply{body: r.body, sent: r.file}, err
}

func (s *session) memAlloc(body []byte) (reply, error) {
	length, err := fdconn.ParseMemAlloc(body)
	if err != nil {
		return reply{}, err
	}
	offset, err := s.ctx.MemAlloc(length)
	if err != nil {
		return reply{}, err
	}
	return reply{body: fdconn.AppendMemAlloced(nil, offset)}, nil
}

func (s *session) memFree(body []byte) (reply, error) {
	offset, length, err := fdconn.ParseSpan(body)
	if err != nil {
		return reply{}, err
	}
	return reply{}, s.ctx.MemFree(offset, length)
}

func (s *session) unshare(body []byte) (reply, error) {
	va, length, err := fdconn.ParseSpan(body)
	if err != nil {
		return reply{}, err
	}
	s.ctx.Unshare(s.process, va, length)
	return reply{}, nil
}

func (s *session) doorbell(body []byte) (reply, error) {
	qp, err := fdconn.ParseDoorbell(body)
	if err != nil {
		return reply{}, err
	}
	s.ctx.Ring(verbs.Handle(qp))
	return reply{}, nil
}

// end gives up what the session has: first the memory of its process, then its part in the context.
func (s *session) end() {
	s.conn.Close()
	if s.ctx != nil {
		s.ctx.DropProcess(s.process)
		s.server.release(s.ctx)
	}
	s.peer.Close()
}
