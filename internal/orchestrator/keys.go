package orchestrator

import (
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// DefaultPrefix is where a cluster's keys are, unless told otherwise.
const DefaultPrefix = "/freeflow/v1/"

// keys names what is in etcd. Values are JSON, of the message named, unless said otherwise.
//
//	ca                        PEM: the authority's certificate and key
//	tokens/ID                 join token, token or certificate of a role: tokenRecord; leased until it expires
//	sessions/HASH             session of the web page: sessionRecord, under its cookie's hash; leased
//	audit/TIME-RANDOM         AuditEvent
//	usage/state/HOST          UsageState, binary and compressed, as the next two: how much of what its containers count is in buckets
//	usage/minutes/N/HOST      UsageBucket of a minute since 1970
//	usage/hours/N/HOST        UsageBucket of an hour
//	usage/rolled              plain: the first hour that is not yet made of its minutes
//	hosts/NAME                Host: without state
//	alive/NAME                its value is the lease's number; leased: there while the host's router is
//	underlay/IP               plain: the host that has this address
//	networks/NAME             Network
//	vnis/VNI                  plain: the network that has this number
//	containers/NETWORK/NAME   Container
//	addresses/NETWORK/IP      plain: the container that has this address; exactly one for each container
//	mrs/HOST/ID               MR; leased with the host
//	revocations/HOST/ID       Revocation; until the router says that the region is gone
//	policies/KIND/NAME        Policy
//	policies/changed          plain: when; written with every change of a policy
type keys struct{ prefix string }

const (
	dirTokens      = "tokens/"
	dirHosts       = "hosts/"
	dirAlive       = "alive/"
	dirUnderlay    = "underlay/"
	dirNetworks    = "networks/"
	dirVNIs        = "vnis/"
	dirContainers  = "containers/"
	dirAddresses   = "addresses/"
	dirMRs         = "mrs/"
	dirRevocations = "revocations/"
	dirPolicies    = "policies/"
)

func (k keys) ca() string                       { return k.prefix + "ca" }
func (k keys) token(id string) string           { return k.prefix + dirTokens + id }
func (k keys) host(name string) string          { return k.prefix + dirHosts + name }
func (k keys) alive(host string) string         { return k.prefix + dirAlive + host }
func (k keys) underlay(ip string) string        { return k.prefix + dirUnderlay + ip }
func (k keys) network(name string) string       { return k.prefix + dirNetworks + name }
func (k keys) vni(n uint32) string              { return fmt.Sprintf("%s%s%d", k.prefix, dirVNIs, n) }
func (k keys) containersOf(net string) string   { return k.prefix + dirContainers + net + "/" }
func (k keys) container(c Name) string          { return k.containersOf(c.Network) + c.Name }
func (k keys) address(net, ip string) string    { return k.prefix + dirAddresses + net + "/" + ip }
func (k keys) mrs() string                      { return k.prefix + dirMRs }
func (k keys) mrsOf(host string) string         { return k.mrs() + host + "/" }
func (k keys) mr(host string, id uint64) string { return fmt.Sprintf("%s%016x", k.mrsOf(host), id) }
func (k keys) revocationsOf(host string) string { return k.prefix + dirRevocations + host + "/" }
func (k keys) revocation(host string, id uint64) string {
	return fmt.Sprintf("%s%016x", k.revocationsOf(host), id)
}

// split tells what a key is about: the folder, with its slash, and the rest.
func (k keys) split(key string) (dir, rest string) {
	key = strings.TrimPrefix(key, k.prefix)
	i := strings.IndexByte(key, '/') + 1
	return key[:i], key[i:]
}

// Name is a container's: unique in its network.
type Name struct{ Network, Name string }

func (n Name) String() string { return n.Network + "/" + n.Name }

func encode(m proto.Message) string {
	text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(m)
	if err != nil {
		panic(err) // only text that is not UTF-8 fails, and names and labels have been checked
	}
	return string(text)
}

// decode reads a value. Fields that a later release has added are passed over.
func decode(value []byte, m proto.Message) error {
	return protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal(value, m)
}
