package manifest

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader collects what is wrong with a document, and where its fields are.
type reader struct {
	file     string
	lines    map[string]int
	problems []error
}

func (r *reader) fail(line int, field, format string, args ...any) {
	r.problems = append(r.problems, fmt.Errorf("%s:%d: %s: %s", r.file, line, field, fmt.Sprintf(format, args...)))
}

// alias lets what is wrong with one field be told at the line of another.
func (r *reader) alias(field, of string) {
	if line, ok := r.lines[of]; ok {
		r.lines[field] = line
	}
}

// lineOf is where a field stands, or what holds it; otherwise is where the document begins.
func lineOf(lines map[string]int, field string, otherwise int) int {
	for field != "" {
		if line, ok := lines[field]; ok {
			return line
		}
		field = field[:max(strings.LastIndexAny(field, ".["), 0)]
	}
	return otherwise
}

// object is a YAML mapping of which fields are asked for by name. One that is missing has no fields.
type object struct {
	r      *reader
	path   string // with a dot at its end, if not empty
	line   int
	fields map[string]*yaml.Node
	order  []*yaml.Node // the keys
	asked  map[string]bool
}

func (r *reader) object(node *yaml.Node, path string) *object {
	o := &object{r: r, path: path, line: node.Line, fields: make(map[string]*yaml.Node), asked: make(map[string]bool)}
	if node.Kind != yaml.MappingNode {
		r.fail(node.Line, orDocument(path), "want fields, each with its name")
		return o
	}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		switch {
		case key.Kind != yaml.ScalarNode || key.Tag == "!!merge":
			r.fail(key.Line, orDocument(path), "a field's name must be a plain word")
		case o.fields[key.Value] != nil:
			r.fail(key.Line, path+key.Value, "given twice")
		default:
			o.fields[key.Value] = value
			o.order = append(o.order, key)
			r.lines[path+key.Value] = key.Line
		}
	}
	return o
}

func orDocument(path string) string {
	if path == "" {
		return "document"
	}
	return path[:len(path)-1]
}

// object is the field of that name, which must be there.
func (o *object) object(name string) *object {
	o.asked[name] = true
	node := o.fields[name]
	if node == nil {
		o.r.fail(o.line, o.path+name, "is missing")
		return &object{r: o.r, path: o.path + name + ".", line: o.line, asked: make(map[string]bool), fields: missing}
	}
	return o.r.object(node, o.path+name+".")
}

// part is the field of that name, nil if it is not there.
func (o *object) part(name string) *object {
	o.asked[name] = true
	if node := o.fields[name]; node != nil {
		return o.r.object(node, o.path+name+".")
	}
	return nil
}

func isList(node *yaml.Node) bool { return node.Kind == yaml.SequenceNode }

// missing marks an object about which enough has been said.
var missing = map[string]*yaml.Node{"": nil}

// scalar is the field of that name, if it is there and a single value.
func (o *object) scalar(name string, required bool) *yaml.Node {
	o.asked[name] = true
	node := o.fields[name]
	if node == nil {
		if _, said := o.fields[""]; required && !said {
			o.r.fail(o.line, o.path+name, "is missing")
		}
		return nil
	}
	if node.Kind != yaml.ScalarNode || node.Tag == "!!null" {
		o.r.fail(node.Line, o.path+name, "want one value")
		return nil
	}
	return node
}

// text is a field that is a text; empty if it is not there.
func (o *object) text(name string, required bool) string {
	node := o.scalar(name, required)
	if node == nil {
		return ""
	}
	if node.Tag != "!!str" {
		o.r.fail(node.Line, o.path+name, "%s is not a text: put it in quotation marks", node.Value)
		return ""
	}
	if required && node.Value == "" {
		o.r.fail(node.Line, o.path+name, "is empty")
	}
	return node.Value
}

// number is a field that is a number; 0 if it is not there.
func (o *object) number(name string) uint32 {
	node := o.scalar(name, false)
	if node == nil {
		return 0
	}
	n, err := strconv.ParseUint(node.Value, 10, 32)
	if err != nil || node.Tag != "!!int" || n == 0 {
		o.r.fail(node.Line, o.path+name, "%q: want a whole number above 0", node.Value)
		return 0
	}
	return uint32(n)
}

// end says which fields nobody has asked for, and what there is instead.
func (o *object) end() {
	if o == nil {
		return
	}
	for _, key := range o.order {
		if !o.asked[key.Value] {
			o.r.fail(key.Line, o.path+key.Value, "there is no such field: %s", instead(key.Value, slices.Sorted(maps.Keys(o.asked))))
		}
	}
}

// instead says which of the words may be meant, or what they are.
func instead(wrong string, words []string) string {
	best, least := "", 3
	for _, w := range words {
		if d := distance(strings.ToLower(wrong), strings.ToLower(w)); d < least && d < len(w) {
			best, least = w, d
		}
	}
	if best != "" {
		return "write " + best
	}
	return "want " + orList(words)
}

// orList is words as people list them.
func orList(words []string) string {
	if len(words) < 2 {
		return strings.Join(words, "")
	}
	return strings.Join(words[:len(words)-1], ", ") + " or " + words[len(words)-1]
}

// distance is how many letters have to be put in, taken out or replaced to make b of a.
func distance(a, b string) int {
	if len(a) > maxWord || len(b) > maxWord {
		return maxWord
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		before := row[0]
		row[0] = i + 1
		for j := range len(b) {
			next := before
			if a[i] != b[j] {
				next = 1 + min(before, row[j], row[j+1])
			}
			before, row[j+1] = row[j+1], next
		}
	}
	return row[len(b)]
}

const maxWord = 40
