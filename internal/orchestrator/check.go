package orchestrator

import (
	"fmt"
	"net/netip"
	"regexp"
	"slices"

	"connectrpc.com/connect"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// Bounds of what can be said.
const (
	maxVNI        = 1<<24 - 1
	maxLabels     = 64
	maxLabelValue = 256
	maxInstance   = 64
	minMTU        = 576
	maxMTU        = 65535
)

var (
	// NamePattern is what names of networks, containers and tenants look like.
	NamePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	keyPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$`)
	textPattern = regexp.MustCompile(`^[!-~]*$`)
	modes       = []string{"", "auto", "fast", "low"}
)

func checkName(what, name string) error {
	if !NamePattern.MatchString(name) {
		return failf(connect.CodeInvalidArgument, "%s %q: want 1 to 63 letters, digits and _.-, a letter or digit first", what, name)
	}
	return nil
}

// checkPrefix says whether a network can have these addresses.
func checkPrefix(p netip.Prefix) error {
	switch {
	case !p.Addr().Is4():
		return fmt.Errorf("%s: want an IPv4 prefix", p)
	case p.Bits() < 8 || p.Bits() > 30:
		return fmt.Errorf("%s: want a prefix of 8 to 30 bits", p)
	case p != p.Masked():
		return fmt.Errorf("%s: has bits set behind the prefix: want %s", p, p.Masked())
	}
	return nil
}

// checkNetwork names the field that is wrong, and why; empty if none is.
func checkNetwork(n *pb.Network) (field string, err error) {
	if err := checkName("network name", n.Name); err != nil {
		return "metadata.name", plainError(err)
	}
	prefix, err := netip.ParsePrefix(n.Cidr)
	if err != nil {
		return "spec.cidr", fmt.Errorf("%q is not a prefix like 10.78.0.0/16", n.Cidr)
	}
	if err := checkPrefix(prefix); err != nil {
		return "spec.cidr", err
	}
	if n.Vni > maxVNI {
		return "spec.vni", fmt.Errorf("%d: want 1 to %d", n.Vni, maxVNI)
	}
	if n.Mtu != 0 && (n.Mtu < minMTU || n.Mtu > maxMTU) {
		return "spec.mtu", fmt.Errorf("%d: want %d to %d, or nothing", n.Mtu, minMTU, maxMTU)
	}
	if n.Tenant != "" && !NamePattern.MatchString(n.Tenant) {
		return "spec.tenant", fmt.Errorf("%q: want 1 to 63 letters, digits and _.-", n.Tenant)
	}
	return "", nil
}

func plainError(err error) error {
	var c *connect.Error
	if ok := asConnect(err, &c); ok {
		return fmt.Errorf("%s", c.Message())
	}
	return err
}

func checkRegistration(r *pb.RegisterContainerRequest) error {
	if err := checkName("network name", r.Network); err != nil {
		return err
	}
	if err := checkName("container name", r.Name); err != nil {
		return err
	}
	if r.Instance == "" || len(r.Instance) > maxInstance || !textPattern.MatchString(r.Instance) {
		return failf(connect.CodeInvalidArgument, "instance %q: want 1 to %d printable letters", r.Instance, maxInstance)
	}
	if !slices.Contains(modes, r.Mode) {
		return failf(connect.CodeInvalidArgument, "mode %q: want auto, fast or low", r.Mode)
	}
	if len(r.Labels) > maxLabels {
		return failf(connect.CodeInvalidArgument, "%d labels: want at most %d", len(r.Labels), maxLabels)
	}
	for key, value := range r.Labels {
		if !keyPattern.MatchString(key) || len(value) > maxLabelValue {
			return failf(connect.CodeInvalidArgument, "label %q: want a key of letters, digits and _./-, and a value of at most %d bytes", key, maxLabelValue)
		}
	}
	return nil
}

// parseUnderlay reads an address that a host's packets can come from.
func parseUnderlay(text string) (netip.Addr, error) {
	addr, err := netip.ParseAddr(text)
	if err != nil || addr.Zone() != "" {
		return netip.Addr{}, failf(connect.CodeInvalidArgument, "host address %q: want an IP address", text)
	}
	addr = addr.Unmap()
	if addr.IsUnspecified() || addr.IsMulticast() || addr == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return netip.Addr{}, failf(connect.CodeInvalidArgument, "host address %s: want the address of one host", addr)
	}
	return addr, nil
}
