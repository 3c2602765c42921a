package manifest

import (
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

const good = `# two objects
apiVersion: freeflow/v1
kind: Network
metadata:
  name: blue
spec:
  cidr: 10.78.0.0/16
  vni: 100
  tenant: acme
  mtu: 1450
---
apiVersion: freeflow/v1
kind: Container
metadata: {name: db}
spec:
  network: blue
  ip: 10.78.0.10
---
`

func TestParse(t *testing.T) {
	docs, err := Parse("f.yaml", []byte(good))
	if err != nil || len(docs) != 2 {
		t.Fatalf("%d documents, %v", len(docs), err)
	}
	net := &pb.Network{Name: "blue", Cidr: "10.78.0.0/16", Vni: 100, Tenant: "acme", Mtu: 1450}
	if !proto.Equal(docs[0].Object.GetNetwork(), net) {
		t.Errorf("network %v", docs[0].Object)
	}
	if !proto.Equal(docs[1].Object.GetContainer(), &pb.Container{Name: "db", Network: "blue", Ip: "10.78.0.10"}) {
		t.Errorf("container %v", docs[1].Object)
	}
	if got := docs[1].Error("spec.ip", "taken").Error(); got != "f.yaml:17: spec.ip: taken" {
		t.Errorf("error %q", got)
	}
	if got := docs[1].Error("nowhere", "x").Error(); got != "f.yaml:12: nowhere: x" {
		t.Errorf("error %q", got)
	}
}

// Each error names the line and the field, and one reading finds all of them.
func TestErrorsNameLineAndField(t *testing.T) {
	head := "apiVersion: freeflow/v1\nkind: Network\nmetadata:\n  name: n\nspec:\n"
	for _, c := range []struct{ name, text, want string }{
		{"unknown field", head + "  cidr: 10.0.0.0/8\n  colour: red\n", "f:7: spec.colour: there is no such field"},
		{"unknown field at the top", head + "  cidr: 10.0.0.0/8\nextra: 1\n", "f:7: extra: there is no such field"},
		{"twice", head + "  cidr: 10.0.0.0/8\n  cidr: 10.0.0.0/8\n", "f:7: spec.cidr: given twice"},
		{"missing", head + "  vni: 3\n", "f:6: spec.cidr: is missing"},
		{"wrong sort", head + "  cidr: 10.0.0.0/8\n  vni: high\n", `f:7: spec.vni: "high": want a whole number above 0`},
		{"negative", head + "  cidr: 10.0.0.0/8\n  vni: -1\n", `f:7: spec.vni: "-1": want a whole number above 0`},
		{"number for a text", head + "  cidr: 10\n", "f:6: spec.cidr: 10 is not a text: put it in quotation marks"},
		{"list", head + "  cidr: [a]\n", "f:6: spec.cidr: want one value"},
		{"kind", "apiVersion: freeflow/v1\nkind: Nettwork\nmetadata: {name: n}\nspec: {}\n", `f:2: kind: "Nettwork": write Network`},
		{"version", "apiVersion: v1\nkind: Network\nmetadata: {name: n}\nspec: {cidr: a}\n", `f:1: apiVersion: "v1": want freeflow/v1`},
		{"no spec", "apiVersion: freeflow/v1\nkind: Network\nmetadata: {name: n}\n", "f:1: spec: is missing"},
		{"second document", head + "  cidr: 10.0.0.0/8\n---\nkind: Network\n", "f:8: apiVersion: is missing"},
		{"alias", "apiVersion: freeflow/v1\nkind: Network\nmetadata: &m {name: n}\nspec: *m\n", "f:4: spec: want fields, each with its name"},
		{"not YAML", "a: b: c\n", "mapping values are not allowed in this context"},
		{"a list of documents", "- a\n", "f:1: document: want fields, each with its name"},
		{"nothing", "---\n", "f: no document in it"},
	} {
		_, err := Parse("f", []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v\nwant %s", c.name, err, c.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add(good)
	f.Add("a: &a [*a]")
	f.Add("kind: Network\n<<: {a: b}\n? [x]\n: y\n")
	f.Fuzz(func(t *testing.T, text string) {
		docs, err := Parse("f", []byte(text))
		if err != nil {
			return
		}
		for _, d := range docs {
			if d.Object.GetSpec() == nil || d.Name == "" || d.Kind == "" {
				t.Fatalf("accepted %q as %+v", text, d)
			}
		}
	})
}
