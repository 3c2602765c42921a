package manifest

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	pb "github.com/freeflow-rdma/freeflow/api/freeflow/v1"
)

// APIVersion is that of every document.
const APIVersion = "freeflow/v1"

// maxSize bounds a file.
const maxSize = 1 << 20

// Document is one object of a file.
type Document struct {
	File   string
	Kind   string
	Name   string
	Object *pb.Object

	line  int
	lines map[string]int // by field, as in "spec.cidr"
}

// kinds make objects of what documents say.
var kinds = map[string]func(name string, spec *object) *pb.Object{
	"Network": func(name string, spec *object) *pb.Object {
		return &pb.Object{Spec: &pb.Object_Network{Network: &pb.Network{
			Name: name, Cidr: spec.text("cidr", true), Vni: spec.number("vni"), Tenant: spec.text("tenant", false), Mtu: spec.number("mtu"),
		}}}
	},
	// A Container reserves an address for the container that will have this name.
	"Container": func(name string, spec *object) *pb.Object {
		network := spec.text("network", false)
		if network == "" {
			network = "default"
		}
		return &pb.Object{Spec: &pb.Object_Container{Container: &pb.Container{Name: name, Network: network, Ip: spec.text("ip", true)}}}
	},
}

// Parse reads all documents of a file. The error tells everything that is wrong with them, a line each.
func Parse(file string, text []byte) ([]Document, error) {
	if len(text) > maxSize {
		return nil, fmt.Errorf("%s: larger than %d bytes", file, maxSize)
	}
	var list []Document
	var problems []error
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		err := decoder.Decode(&node)
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			problems = append(problems, fmt.Errorf("%s: %s", file, strings.TrimPrefix(err.Error(), "yaml: ")))
			break
		}
		docs, errs := documents(file, &node)
		list, problems = append(list, docs...), append(problems, errs...)
	}
	if len(problems) > 0 {
		return nil, errors.Join(problems...)
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("%s: no document in it", file)
	}
	return list, nil
}

// documents reads one YAML document: an object, a list of objects as `freeflow get -o json` prints it, or nothing.
func documents(file string, node *yaml.Node) (list []Document, problems []error) {
	if node.Kind != yaml.DocumentNode || len(node.Content) != 1 {
		return nil, []error{fmt.Errorf("%s: not a YAML document", file)}
	}
	root := node.Content[0]
	if root.Tag == "!!null" {
		return nil, nil
	}
	items := []*yaml.Node{root}
	if isList(root) {
		items = root.Content
	}
	for _, item := range items {
		d, errs := document(file, item)
		list, problems = append(list, *d), append(problems, errs...)
	}
	return list, problems
}

// document reads one object.
func document(file string, root *yaml.Node) (*Document, []error) {
	r := &reader{file: file, lines: make(map[string]int)}
	top := r.object(root, "")
	d := &Document{File: file, Kind: top.text("kind", true), line: root.Line, lines: r.lines}
	if v := top.text("apiVersion", true); v != "" && v != APIVersion {
		r.fail(r.lines["apiVersion"], "apiVersion", "%q: want %s", v, APIVersion)
	}
	metadata := top.object("metadata")
	d.Name = metadata.text("name", true)
	metadata.end()
	spec := top.object("spec")
	if build, ok := kinds[d.Kind]; ok {
		d.Object = build(d.Name, spec)
		spec.end()
	} else if d.Kind != "" {
		r.fail(r.lines["kind"], "kind", "%q: %s", d.Kind, instead(d.Kind, slices.Sorted(maps.Keys(kinds))))
	}
	top.end()
	return d, r.problems
}

// Error says of a field of the document that it is wrong: with file and line.
func (d *Document) Error(field, message string) error {
	return fmt.Errorf("%s:%d: %s: %s", d.File, lineOf(d.lines, field, d.line), field, message)
}
