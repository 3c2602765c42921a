package cluster

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// What a router keeps on disk beside its credentials: the state it saw last (WatchResponse), so that it can work
// without an orchestrator from its start, and what it has registered (SyncContainersRequest).
const (
	stateFile      = "cluster.state"
	registeredFile = "registered"
)

// readMessage reads a file; it reports false if there is none.
func readMessage(dir, name string, m proto.Message) (bool, error) {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cluster state on disk: %w", err)
	}
	if err := proto.Unmarshal(text, m); err != nil {
		return false, fmt.Errorf("cluster state on disk: %s: %w", name, err)
	}
	return true, nil
}

func writeMessage(dir, name string, m proto.Message) error {
	text, err := proto.Marshal(m)
	if err != nil {
		return fmt.Errorf("cluster state: %w", err)
	}
	if err := writeFile(filepath.Join(dir, name), text); err != nil {
		return fmt.Errorf("cluster state: %w", err)
	}
	return nil
}

// readState is the state that was kept; an empty one if there is none, or none that can be read.
func readState(dir string) (*State, error) {
	var m pb.WatchResponse
	ok, err := readMessage(dir, stateFile, &m)
	if !ok {
		return emptyState(), err
	}
	b := newBuilder(emptyState())
	b.apply(m.Changes)
	return b.state(m.Cluster, m.Revision, true), nil
}
