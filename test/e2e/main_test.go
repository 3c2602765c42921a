package e2e

import (
	"testing"

	"github.com/freeflow-rdma/freeflow/test/host"
)

func TestMain(m *testing.M) { host.Main(m) }
