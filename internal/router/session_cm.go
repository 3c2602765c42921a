package router

import (
	"os"
	"syscall"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// cmDevice is what sessions need of a *rdmacm.Host. Errors that are a syscall.Errno are the program's to see.
type cmDevice interface {
	// OpenChannel gives the program's end of a new channel; the caller sends and closes it.
	OpenChannel(c *verbs.Container) (inode uint64, programEnd *os.File, err error)
	Command(c *verbs.Container, q rdmacm.Command) (rdmacm.Reply, error)
}

// openCM opens /dev/infiniband/rdma_cm. The connection stays for the commands of all channels of the process.
func (s *session) openCM(body []byte) (reply, error) {
	q, err := fdconn.ParseOpenCM(body)
	switch {
	case err != nil:
		return reply{}, err
	case q.Version != fdconn.ABIVersion:
		return reply{}, syscall.EPROTONOSUPPORT
	case q.Flags != 0:
		return reply{}, syscall.EINVAL
	}
	inode, end, err := s.server.cm.OpenChannel(s.tenant.container)
	if err != nil {
		return reply{}, err
	}
	return reply{body: fdconn.AppendCMOpened(nil, inode), sent: end}, s.conn.SetReceiveDeadline(time.Time{})
}

// cmCommand runs a command that a program wrote to a channel of its container.
func (s *session) cmCommand(body []byte) (reply, error) {
	q, err := fdconn.ParseCMCommand(body)
	if err != nil {
		return reply{}, err
	}
	r, err := s.server.cm.Command(s.tenant.container, rdmacm.Command{Inode: q.Inode, Aux: q.Aux, Cmd: q.Cmd, Data: q.Data})
	if err != nil {
		return reply{}, err
	}
	return reply{body: fdconn.AppendCMReply(nil, r.Tokens, r.Response)}, s.conn.SetReceiveDeadline(time.Time{})
}
