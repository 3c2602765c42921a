package admin

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/freeflow-rdma/freeflow/internal/pcap"
	"github.com/freeflow-rdma/freeflow/internal/vnet"
)

// Errors that a Backend wraps to say which kind of failure it is; the client returns them again.
var (
	ErrInvalid   = errors.New("invalid request")
	ErrConflict  = errors.New("conflict")
	ErrNotFound  = errors.New("not found")
	ErrForbidden = errors.New("forbidden")
)

// Backend is what stands behind the socket. Its methods are called from many goroutines at once.
type Backend interface {
	// RegisterContainer makes a container of the peer's network namespace. When it succeeds the Backend
	// owns peer.NetNS, and keeps it open until UnregisterContainer: an open namespace's identity cannot
	// pass to another namespace.
	RegisterContainer(ctx context.Context, peer Peer, spec ContainerSpec) (ContainerInfo, error)
	// UnregisterContainer ends a container: once for each that was registered, except for those that
	// live when the server stops.
	UnregisterContainer(id string)

	Status() Status
	Containers() []ContainerRow
	QPs() []QPRow
	MRs() []MRRow
	CMIDs() []CMIDRow
	Networks() []NetworkRow
	Hosts() []HostRow
	Counters() []CounterRow

	// Tap is where captures listen.
	Tap() *pcap.Tap
}

// Peer is who is at the other end of a connection, as the kernel tells it.
type Peer struct {
	PID   int
	UID   uint32
	NetNS *vnet.Namespace
}

// ContainerSpec is what a container asks for. Empty fields are the router's to choose.
type ContainerSpec struct {
	ID      string            `json:"id,omitempty"` // only to register again: the ID of the first time
	Name    string            `json:"name,omitempty"`
	Network string            `json:"network,omitempty"`
	IP      netip.Addr        `json:"ip,omitzero"`
	Mode    string            `json:"mode,omitempty"`
	Labels  map[string]string `json:"labels,omitempty"`
	Command []string          `json:"command,omitempty"`
}

// ContainerInfo is what a container was given.
type ContainerInfo struct {
	ID      string       `json:"id"`
	Name    string       `json:"name"`
	Network string       `json:"network"`
	IP      netip.Addr   `json:"ip"`
	Prefix  netip.Prefix `json:"prefix"`
	MAC     string       `json:"mac"`
	GIDs    []netip.Addr `json:"gids"`
	Mode    string       `json:"mode"`

	RunDir  string `json:"run_dir"`
	Root    string `json:"root"`    // FREEFLOW_ROOT: the tree of virtual device files
	Library string `json:"library"` // goes in front of LD_PRELOAD
	// Env holds further variables for the container's programs.
	Env map[string]string `json:"env,omitempty"`
}

// Status tells that a router answers, and which.
type Status struct {
	Version    string    `json:"version"`
	ABIVersion int       `json:"abi_version"` // of the socket between library and router
	PID        int       `json:"pid"`
	RunDir     string    `json:"run_dir"`
	Mode       string    `json:"mode"`
	Started    time.Time `json:"started"`
	Containers int       `json:"containers"`
}

// States of a container; of one that is stopped only the reservation of its address is left.
const (
	Running = "running"
	Stopped = "stopped"
)

// ContainerRow is a container in a list.
type ContainerRow struct {
	ID      string            `json:"id"`
	Name    string            `json:"name"`
	Network string            `json:"network"`
	Host    string            `json:"host"`
	State   string            `json:"state"` // Running or Stopped
	IP      netip.Addr        `json:"ip"`
	GIDs    []netip.Addr      `json:"gids"`
	Mode    string            `json:"mode"`
	Labels  map[string]string `json:"labels,omitempty"`
	Command []string          `json:"command,omitempty"`
	PID     int               `json:"pid"` // of the process that holds the lease
	NetNS   string            `json:"netns"`
	Created time.Time         `json:"created"`
	QPs     int               `json:"qps"`
	MRs     int               `json:"mrs"`
}

// QPRow is a queue pair in a list.
type QPRow struct {
	Container string     `json:"container"`
	PID       int        `json:"pid"`
	QPN       uint32     `json:"qpn"`
	Type      string     `json:"type"`
	State     string     `json:"state"`
	DestIP    netip.Addr `json:"dest_ip,omitzero"`
	DestQPN   uint32     `json:"dest_qpn,omitempty"`
	Fabric    string     `json:"fabric,omitempty"` // what carries its messages: local, geneve, plain, hca
	TxBytes   uint64     `json:"tx_bytes"`
	RxBytes   uint64     `json:"rx_bytes"`
	TxMsgs    uint64     `json:"tx_msgs"`
	RxMsgs    uint64     `json:"rx_msgs"`
}

// MRRow is a memory region in a list.
type MRRow struct {
	ID        uint64 `json:"id"` // in the memory map
	Host      string `json:"host"`
	Container string `json:"container"`
	PID       int    `json:"pid"`
	LKey      uint32 `json:"lkey"`
	RKey      uint32 `json:"rkey"`
	Addr      uint64 `json:"addr"`
	Length    uint64 `json:"length"`
	Shared    uint64 `json:"shared"` // bytes of it that the router has mapped; the cluster does not know
	Access    string `json:"access"`
}

// CMIDRow is an identifier of RDMA-CM (an rdma_cm_id) in a list.
type CMIDRow struct {
	Container string         `json:"container"`
	Network   string         `json:"network"`
	ID        uint32         `json:"id"` // the container's own number
	PortSpace string         `json:"port_space"`
	State     string         `json:"state"`
	Local     netip.AddrPort `json:"local,omitzero"`
	Remote    netip.AddrPort `json:"remote,omitzero"`
	QPN       uint32         `json:"qpn,omitempty"`
	Events    int            `json:"events"` // that its program has not read
}

// NetworkRow is a network in a list.
type NetworkRow struct {
	Name       string       `json:"name"`
	VNI        uint32       `json:"vni"`
	CIDR       netip.Prefix `json:"cidr"`
	Tenant     string       `json:"tenant,omitempty"`
	Bridge     string       `json:"bridge"`
	MTU        int          `json:"mtu"`
	Containers int          `json:"containers"`
}

// HostRow is a host in a list.
type HostRow struct {
	Name       string     `json:"name"`
	IP         netip.Addr `json:"ip,omitzero"`
	Mode       string     `json:"mode"`
	State      string     `json:"state"` // ready or gone
	Since      time.Time  `json:"since,omitzero"`
	Version    string     `json:"version,omitempty"`
	Features   []string   `json:"features,omitempty"`
	Containers int        `json:"containers"`
}

// CounterRow is a counter in a list. docs/counters.md says what each counts.
type CounterRow struct {
	Group string `json:"group"` // fabric, transport, a port ("geneve 10.0.0.1:6081") or a worker ("worker core0")
	Name  string `json:"name"`
	Value uint64 `json:"value"`
}
