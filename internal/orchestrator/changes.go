package orchestrator

import (
	"context"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// changed is one object that an operator has changed: what it was, and what it is now; nil where there is none.
type changed struct{ before, after *pb.Change }

// onChange is told of everything that operators change, by whom, after it is in etcd: it cannot be refused any more. before is nil for what is
// new, after for what is deleted. It is called from the goroutine that answers the operator, one change after the other, and must not change
// the messages. by is the zero caller for what an orchestrator does by itself.
type onChange func(ctx context.Context, by caller, before, after *pb.Change)

// tell passes a change on.
func (s *Store) tell(ctx context.Context, before, after *pb.Change) {
	if s.onChange != nil {
		s.onChange(ctx, callerOf(ctx), before, after)
	}
}
