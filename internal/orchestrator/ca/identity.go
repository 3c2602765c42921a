package ca

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/netip"
	"regexp"
	"strings"
)

// Role is what the holder of a certificate is.
type Role string

// The roles.
const (
	RoleOrchestrator Role = "orchestrator"
	RoleRouter       Role = "router"
	RoleAdmin        Role = "admin"
	RoleOperator     Role = "operator" // changes policies and networks
	RoleViewer       Role = "viewer"   // reads
)

// Identity is who holds a certificate.
type Identity struct {
	Role     Role
	Name     string     // a router's: its host's
	Underlay netip.Addr // a router's
}

var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$`)

// CheckHostName says whether a host may be called so: 1 to 63 letters, digits and "._-", not at the ends.
func CheckHostName(name string) error {
	if !hostName.MatchString(name) || strings.Contains(name, "..") {
		return fmt.Errorf("host name %q: want 1 to 63 letters, digits and ._-, a letter or digit at both ends", name)
	}
	return nil
}

// Holder tells who holds a certificate that the authority has signed. It checks no signature.
func Holder(cert *x509.Certificate) (Identity, error) {
	if len(cert.URIs) != 1 || cert.URIs[0].Scheme != "freeflow" {
		return Identity{}, errors.New("certificate names no part of a FreeFlow cluster")
	}
	u := cert.URIs[0]
	id := Identity{Role: Role(u.Host), Name: strings.TrimPrefix(u.Path, "/")}
	switch id.Role {
	case RoleAdmin, RoleOrchestrator, RoleOperator, RoleViewer:
		return id, nil
	case RoleRouter:
		if len(cert.IPAddresses) != 1 {
			return Identity{}, errors.New("router's certificate: want one address")
		}
		addr, ok := netip.AddrFromSlice(cert.IPAddresses[0])
		if !ok {
			return Identity{}, errors.New("router's certificate: want one address")
		}
		id.Underlay = addr.Unmap()
		return id, CheckHostName(id.Name)
	}
	return Identity{}, fmt.Errorf("certificate has the unknown role %q", id.Role)
}
