package container

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/freeflow-rdma/freeflow/internal/admin"
)

// Modes are the engine modes that a container may ask for; empty leaves it to the router.
var Modes = []string{"auto", "fast", "low"}

var (
	namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)
	idPattern   = regexp.MustCompile(`^[0-9a-f]{12}$`)
	keyPattern  = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$`)
)

const maxLabelValue = 256

// checkSpec refuses what cannot be served, and fills in the network and the plain form of the address.
func checkSpec(spec *admin.ContainerSpec) error {
	if spec.ID != "" && !idPattern.MatchString(spec.ID) {
		return fmt.Errorf("container ID %q: want 12 hexadecimal digits: %w", spec.ID, admin.ErrInvalid)
	}
	if spec.Name != "" {
		if err := checkName("container name", spec.Name); err != nil {
			return err
		}
	}
	if spec.Network == "" {
		spec.Network = DefaultNetwork
	}
	if spec.Mode != "" && !slices.Contains(Modes, spec.Mode) {
		return fmt.Errorf("mode %q: want auto, fast or low: %w", spec.Mode, admin.ErrInvalid)
	}
	if spec.IP.IsValid() {
		spec.IP = spec.IP.Unmap()
		if !spec.IP.Is4() {
			return fmt.Errorf("address %s: want an IPv4 address: %w", spec.IP, admin.ErrInvalid)
		}
	}
	for key, value := range spec.Labels {
		if !keyPattern.MatchString(key) || len(value) > maxLabelValue {
			return fmt.Errorf("label %q: want a key of letters, digits and _./-, and a value of at most %d bytes: %w", key, maxLabelValue, admin.ErrInvalid)
		}
	}
	return nil
}

func checkName(what, name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%s %q: want letters, digits and _.- , at most 63, the first a letter or digit: %w", what, name, admin.ErrInvalid)
	}
	return nil
}
