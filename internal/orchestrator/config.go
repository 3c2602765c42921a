package orchestrator

import (
	"crypto/tls"
	"fmt"
	"log/slog"
	"net/netip"
	"path/filepath"
	"time"
)

// Config is what an orchestrator is started with. The zero value of a field is its default.
type Config struct {
	// DataDir holds etcd's data (if embedded), the sockets, and the operators' credentials; only root can read them.
	DataDir string
	// EtcdEndpoints are those of an existing etcd cluster; empty: one is embedded.
	EtcdEndpoints []string
	EtcdTLS       *tls.Config // for https endpoints
	EtcdUser      string
	EtcdPassword  string
	Prefix        string // of all keys; default DefaultPrefix
	// Listen is the TCP address of the API; default DefaultListen; "none": no TCP.
	Listen string
	// ListenOptional goes on without TCP if the address is taken: the sockets remain.
	ListenOptional bool
	Advertise      []string      // further names and addresses for the server's certificate
	HostTTL        time.Duration // of a host's lease; default DefaultHostTTL
	DefaultCIDR    netip.Prefix  // of the network default, if it has to be made; default 10.77.0.0/16
	// UsageMinutes and UsageHours are how long usage is kept by the minute, and by the hour.
	UsageMinutes time.Duration
	UsageHours   time.Duration
	// AuditEvents and AuditAge bound the audit: the latest so many, no older than that.
	AuditEvents int
	AuditAge    time.Duration
	// MetricsListen is a TCP address on which /metrics is served to anybody who can reach it; empty: none.
	MetricsListen string
	Log           *slog.Logger
}

// Defaults of Config.
const (
	DefaultListen  = "127.0.0.1:7470"
	DefaultHostTTL = 10 * time.Second
	DefaultDataDir = "/var/lib/freeflow"
	minHostTTL     = 2 * time.Second
	maxHostTTL     = 10 * time.Minute
)

// SocketPath is where operators on the same machine find the orchestrator of a data directory.
func SocketPath(dataDir string) string { return filepath.Join(dataDir, "orchestrator.sock") }

// RouterSocketPath is where routers on the same machine find it: TLS, as over TCP.
func RouterSocketPath(dataDir string) string { return filepath.Join(dataDir, "router-api.sock") }

func (c Config) withDefaults() (Config, error) {
	if c.DataDir == "" {
		c.DataDir = DefaultDataDir
	}
	if c.Prefix == "" {
		c.Prefix = DefaultPrefix
	}
	if c.Prefix[0] != '/' || c.Prefix[len(c.Prefix)-1] != '/' {
		return c, fmt.Errorf("etcd prefix %q: want it to begin and end with a slash", c.Prefix)
	}
	if c.Listen == "" {
		c.Listen = DefaultListen
	}
	if c.HostTTL == 0 {
		c.HostTTL = DefaultHostTTL
	}
	if c.HostTTL < minHostTTL || c.HostTTL > maxHostTTL {
		return c, fmt.Errorf("host TTL %s: want %s to %s", c.HostTTL, minHostTTL, maxHostTTL)
	}
	if !c.DefaultCIDR.IsValid() {
		c.DefaultCIDR = netip.MustParsePrefix("10.77.0.0/16")
	}
	if err := checkPrefix(c.DefaultCIDR); err != nil {
		return c, fmt.Errorf("network default: %w", err)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	return c, nil
}
