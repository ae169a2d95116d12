package config

import (
	"fmt"
	"reflect"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Problem is one thing wrong with a file, at its place.
type Problem struct {
	File string
	Line int    // 1-based; 0 when it concerns the whole file
	Path string // the key's path, as in "scrape_configs[0].scrape_interval"
	Text string
}

// Error is "file:line: path: text", with the parts that are known.
func (p Problem) Error() string {
	var b strings.Builder
	b.WriteString(p.File)
	if p.Line > 0 {
		fmt.Fprintf(&b, ":%d", p.Line)
	}
	b.WriteString(": ")
	if p.Path != "" {
		b.WriteString(p.Path + ": ")
	}
	b.WriteString(p.Text)
	return b.String()
}

// Problems is everything wrong with a configuration, in order of place.
type Problems []Problem

// Error lists the problems, one a line.
func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.Error()
	}
	return strings.Join(lines, "\n")
}

// strict decodes YAML into structs, and reports every unknown key and bad
// value with its line and path, where a plain decoder stops at the first error
// and knows no line for most.
type strict struct {
	file     string
	problems Problems
}

// maxDepth bounds how deep values nest; a prometheus.yml needs less than 10.
const maxDepth = 50

func (s *strict) report(n *yaml.Node, path, format string, args ...any) {
	s.problems = append(s.problems, Problem{File: s.file, Line: n.Line, Path: path, Text: fmt.Sprintf(format, args...)})
}

// decode fills v, which is addressable, from n.
func (s *strict) decode(n *yaml.Node, v reflect.Value, path string, depth int) {
	if depth > maxDepth {
		s.report(n, path, "nested deeper than %d levels", maxDepth)
		return
	}
	if n.Kind == yaml.AliasNode {
		s.decode(n.Alias, v, path, depth+1)
		return
	}
	if n.Kind == yaml.ScalarNode && n.Tag == "!!null" {
		return
	}
	switch {
	case v.Kind() == reflect.Pointer && !unmarshals(v.Type()):
		v.Set(reflect.New(v.Type().Elem()))
		s.decode(n, v.Elem(), path, depth+1)
	case unmarshals(v.Addr().Type()) || unmarshals(v.Type()):
		s.checkKeys(n, v.Type(), path)
		s.value(n, v, path)
	case v.Kind() == reflect.Struct && !open(v.Type()):
		s.mapping(n, v, path, depth)
	case v.Kind() == reflect.Slice && isStructured(v.Type().Elem()):
		s.sequence(n, v, path, depth)
	default:
		s.value(n, v, path)
	}
}

func (s *strict) value(n *yaml.Node, v reflect.Value, path string) {
	if err := n.Decode(v.Addr().Interface()); err != nil {
		s.report(n, path, "%s", plainError(err))
	}
}

func (s *strict) mapping(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.MappingNode {
		s.report(n, path, "expected keys and values, found %s", kindName(n))
		return
	}
	if d, ok := v.Addr().Interface().(interface{ setDefaults() }); ok {
		d.setDefaults()
	}
	fields := fieldsOf(v.Type())
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Value == "<<" {
			if val.Kind == yaml.AliasNode && val.Alias.Kind == yaml.MappingNode {
				s.mapping(val.Alias, v, path, depth+1)
			}
			continue
		}
		if line, dup := seen[key.Value]; dup {
			s.report(key, join(path, key.Value), "the key stands at line %d already", line)
			continue
		}
		seen[key.Value] = key.Line
		index, ok := fields[key.Value]
		if !ok {
			if has, other := v.Addr().Interface().(sections); !other || !has.section(s, key, val, join(path, key.Value)) {
				s.unknown(key, fields, path)
			}
			continue
		}
		s.decode(val, v.FieldByIndex(index), join(path, key.Value), depth+1)
	}
}

func (s *strict) sequence(n *yaml.Node, v reflect.Value, path string, depth int) {
	if n.Kind != yaml.SequenceNode {
		s.report(n, path, "expected a list, found %s", kindName(n))
		return
	}
	out := reflect.MakeSlice(v.Type(), len(n.Content), len(n.Content))
	for i, item := range n.Content {
		s.decode(item, out.Index(i), fmt.Sprintf("%s[%d]", path, i), depth+1)
	}
	v.Set(out)
}

// checkKeys reports unknown keys below a type that decodes itself, whose own
// decoding would ignore them.
func (s *strict) checkKeys(n *yaml.Node, t reflect.Type, path string) {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || n.Kind != yaml.MappingNode {
		return
	}
	fields := fieldsOf(t)
	if len(fields) == 0 || open(t) {
		return
	}
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, val := n.Content[i], n.Content[i+1]
		if key.Value == "<<" {
			continue
		}
		index, ok := fields[key.Value]
		if !ok {
			s.unknown(key, fields, path)
			continue
		}
		s.checkKeys(val, t.FieldByIndex(index).Type, join(path, key.Value))
	}
}

func (s *strict) unknown(key *yaml.Node, fields map[string][]int, path string) {
	if near := nearest(key.Value, fields); near != "" {
		s.report(key, join(path, key.Value), "unknown key; did you mean %q?", near)
		return
	}
	s.report(key, join(path, key.Value), "unknown key")
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

var (
	unmarshalerType    = reflect.TypeFor[yaml.Unmarshaler]()
	oldUnmarshalerType = reflect.TypeFor[interface{ UnmarshalYAML(func(any) error) error }]()
)

func unmarshals(t reflect.Type) bool {
	return t.Implements(unmarshalerType) || t.Implements(oldUnmarshalerType)
}

// isStructured tells whether elements of the type are decoded by this package
// and not by the YAML library alone.
func isStructured(t reflect.Type) bool {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	return t.Kind() == reflect.Struct
}

// fieldsOf maps the YAML keys of a struct type to its fields, inlined structs
// included.
func fieldsOf(t reflect.Type) map[string][]int {
	out := map[string][]int{}
	for i := range t.NumField() {
		f := t.Field(i)
		if !f.IsExported() {
			continue
		}
		name, opts, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		switch {
		case name == "-":
		case strings.Contains(opts, "inline") && f.Type.Kind() == reflect.Map: // see open
		case strings.Contains(opts, "inline"):
			for k, index := range fieldsOf(f.Type) {
				out[k] = append([]int{i}, index...)
			}
		case name == "":
			out[strings.ToLower(f.Name)] = []int{i}
		default:
			out[name] = []int{i}
		}
	}
	return out
}

// open tells whether a struct takes any key: it has a map inlined.
func open(t reflect.Type) bool {
	for i := range t.NumField() {
		f := t.Field(i)
		if _, opts, _ := strings.Cut(f.Tag.Get("yaml"), ","); strings.Contains(opts, "inline") && f.Type.Kind() == reflect.Map {
			return true
		}
	}
	return false
}

func kindName(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	return fmt.Sprintf("%q", n.Value)
}

// plainError strips what the YAML library says about lines: the problem has
// its own, exact one.
func plainError(err error) string {
	text := err.Error()
	if te, ok := err.(*yaml.TypeError); ok && len(te.Errors) > 0 {
		text = strings.Join(te.Errors, "; ")
	}
	text = strings.TrimPrefix(text, "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if _, after, ok := strings.Cut(rest, ": "); ok {
			text = after
		}
	}
	return text
}

// nearest returns the key with at most two edits' distance, "" without one.
func nearest(key string, fields map[string][]int) string {
	names := make([]string, 0, len(fields))
	for name := range fields {
		names = append(names, name)
	}
	sort.Strings(names)
	best, bestDistance := "", 3
	for _, name := range names {
		if d := distance(key, name, bestDistance); d < bestDistance {
			best, bestDistance = name, d
		}
	}
	return best
}

// distance is the Levenshtein distance of a and b, or limit when it is not
// below it.
func distance(a, b string, limit int) int {
	if d := len(a) - len(b); d >= limit || -d >= limit {
		return limit
	}
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		diagonal := row[0]
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := diagonal
			if a[i-1] != b[j-1] {
				cost = 1 + min(diagonal, row[j], row[j-1])
			}
			diagonal, row[j] = row[j], cost
		}
	}
	return min(row[len(b)], limit)
}
