package router

import (
	"bytes"
	"os"
	"slices"
	"sync"
	"syscall"
	"testing"

	"github.com/freeflow-rdma/freeflow/internal/fdconn"
	"github.com/freeflow-rdma/freeflow/internal/rdmacm"
	"github.com/freeflow-rdma/freeflow/internal/verbs"
)

// fakeCM writes down what it is asked, and answers with what the test has set.
type fakeCM struct {
	mu    sync.Mutex
	asked []rdmacm.Command
	reply rdmacm.Reply
	fail  error
}

func (f *fakeCM) OpenChannel(*verbs.Container) (uint64, *os.File, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.fail != nil {
		return 0, nil, f.fail
	}
	end, err := os.Open("/dev/null")
	return 0x1234, end, err
}

func (f *fakeCM) Command(_ *verbs.Container, q rdmacm.Command) (rdmacm.Reply, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	q.Cmd, q.Data = slices.Clone(q.Cmd), slices.Clone(q.Data)
	if len(f.asked) < 100 {
		f.asked = append(f.asked, q)
	}
	return f.reply, f.fail
}

func (f *fakeCM) answer(r rdmacm.Reply, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reply, f.fail = r, err
}

func (f *fakeCM) questions() []rdmacm.Command {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.asked
}

// TestChannels: a connection opens any number of channels and commands them without a context; what comes back is passed on.
func TestChannels(t *testing.T) {
	w := newWorld(t)
	c := w.dial(t)
	_, errno, _ := c.ask(fdconn.OpOpenCM, words(2))
	expect(t, "OPEN_CM of version 2", errno, syscall.EPROTONOSUPPORT)
	_, errno, _ = c.ask(fdconn.OpOpenCM, words(1|1<<32))
	expect(t, "OPEN_CM with flags", errno, syscall.EINVAL)
	for range 2 {
		b, errno, files := c.ask(fdconn.OpOpenCM, openBody)
		if errno != 0 || files != 1 || !bytes.Equal(b, words(0x1234)) {
			t.Fatalf("OPEN_CM: %v, %d descriptors, %x", errno, files, b)
		}
	}
	w.cm.answer(rdmacm.Reply{Tokens: 3, Response: []byte{1, 2}}, nil)
	b, errno, files := c.ask(fdconn.OpCMCommand, words(7, 8, 4|2<<32), []byte{9, 9, 9, 9, 0, 0, 0, 0, 5, 6})
	if errno != 0 || files != 0 || !bytes.Equal(b, append(words(3), 1, 2)) {
		t.Errorf("CM_COMMAND: %v, %d descriptors, %x", errno, files, b)
	}
	if got := w.cm.questions(); len(got) != 1 || got[0].Inode != 7 || got[0].Aux != 8 || !bytes.Equal(got[0].Cmd, []byte{9, 9, 9, 9}) || !bytes.Equal(got[0].Data, []byte{5, 6}) {
		t.Errorf("it was asked %+v", got)
	}
	w.cm.answer(rdmacm.Reply{}, syscall.EADDRINUSE)
	_, errno, _ = c.ask(fdconn.OpCMCommand, words(7, 0, 0))
	expect(t, "a command that fails", errno, syscall.EADDRINUSE)
	_, errno, _ = c.ask(fdconn.OpCMCommand, words(7))
	expect(t, "half a command", errno, syscall.EINVAL)
	_, errno, _ = c.ask(fdconn.OpMemAlloc, words(1))
	expect(t, "MEM_ALLOC without a context", errno, syscall.EINVAL)
}

// TestStrangersHaveNoChannels: a process in no container gets none.
func TestStrangersHaveNoChannels(t *testing.T) {
	c := newEmptyWorld(t).dial(t)
	_, errno, _ := c.ask(fdconn.OpOpenCM, openBody)
	expect(t, "OPEN_CM", errno, syscall.EACCES)
	_, errno, _ = c.ask(fdconn.OpCMCommand, words(7, 0, 0))
	expect(t, "CM_COMMAND", errno, syscall.EACCES)
}
