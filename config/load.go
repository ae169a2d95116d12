package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"sort"
	"strconv"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

// fileBytesMax bounds a configuration file: 32 MiB is some 300,000 targets.
const fileBytesMax = 32 << 20

// Load reads and checks the configuration in a file. Everything wrong with its
// content comes back as Problems.
func Load(file string) (*Config, error) {
	info, err := os.Stat(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if info.Size() > fileBytesMax {
		return nil, fmt.Errorf("read configuration %s: it has %d bytes, at most %d are read", file, info.Size(), fileBytesMax)
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	return Parse(content, file)
}

// Parse reads and checks a configuration. file is its name in Problems, and
// its directory is what relative paths are joined with.
func Parse(content []byte, file string) (*Config, error) {
	s := &strict{file: file}
	root, err := parseYAML(content, file)
	if err != nil {
		return nil, err
	}
	c := &Config{}
	if root != nil {
		s.decode(root, reflect.ValueOf(c).Elem(), "", 0)
	}
	dir := filepath.Dir(file)
	c.setDirectory(dir)
	c.readScrapeFiles(s, dir)
	c.finish()
	if len(s.problems) == 0 { // a value that could not be read would be wrong a second time
		c.check(func(path, text string) { s.problems = append(s.problems, c.problem(file, root, path, text)) })
	}
	if len(s.problems) > 0 {
		sort.SliceStable(s.problems, func(i, j int) bool {
			a, b := s.problems[i], s.problems[j]
			return a.File == b.File && a.Line < b.Line
		})
		return nil, s.problems
	}
	c.note(func(loses bool, path, text string) {
		c.notices = append(c.notices, Notice{Problem: c.problem(file, root, path, text), Loses: loses})
	})
	return c, nil
}

// parseYAML returns the document's root, nil for an empty one.
func parseYAML(content []byte, file string) (*yaml.Node, error) {
	dec := yaml.NewDecoder(bytes.NewReader(content))
	var doc yaml.Node
	if err := dec.Decode(&doc); err != nil {
		if errors.Is(err, io.EOF) {
			return nil, nil
		}
		return nil, Problems{syntaxProblem(file, err)}
	}
	var second yaml.Node
	if err := dec.Decode(&second); !errors.Is(err, io.EOF) {
		return nil, Problems{{File: file, Line: second.Line, Text: "a second YAML document: only one is read"}}
	}
	if len(doc.Content) == 0 {
		return nil, nil
	}
	return doc.Content[0], nil
}

var syntaxLine = regexp.MustCompile(`line (\d+): `)

func syntaxProblem(file string, err error) Problem {
	p := Problem{File: file, Text: strings.TrimPrefix(err.Error(), "yaml: ")}
	if m := syntaxLine.FindStringSubmatchIndex(p.Text); m != nil {
		p.Line, _ = strconv.Atoi(p.Text[m[2]:m[3]])
		p.Text = p.Text[:m[0]] + p.Text[m[1]:]
	}
	return p
}

// lineOf finds the line of a path as Problem has it; the line of the nearest
// parent that exists.
func lineOf(root *yaml.Node, path string) int {
	if root == nil {
		return 0
	}
	line, n := root.Line, root
	for _, step := range strings.Split(path, ".") {
		name, index, _ := strings.Cut(step, "[")
		child := child(n, name)
		if child == nil {
			return line
		}
		n, line = child, child.Line
		if index == "" {
			continue
		}
		i, err := strconv.Atoi(strings.TrimSuffix(index, "]"))
		if err != nil || i >= len(n.Content) {
			return line
		}
		n, line = n.Content[i], n.Content[i].Line
	}
	return line
}

func child(n *yaml.Node, name string) *yaml.Node {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	for i := 0; i+1 < len(n.Content) && n.Kind == yaml.MappingNode; i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// setDirectory joins relative paths with the file's directory.
func (c *Config) setDirectory(dir string) {
	for i, f := range c.RuleFiles {
		c.RuleFiles[i] = commonconfig.JoinDir(dir, f)
	}
	c.Global.QueryLogFile = commonconfig.JoinDir(dir, c.Global.QueryLogFile)
	c.Global.FailureLogFile = commonconfig.JoinDir(dir, c.Global.FailureLogFile)
	c.Nilometer.Alerting.ConfigFile = commonconfig.JoinDir(dir, c.Nilometer.Alerting.ConfigFile)
	c.Alerting.setDirectory(dir)
	for _, sc := range c.ScrapeConfigs {
		if sc != nil {
			sc.setDirectory(dir)
		}
	}
}

func (c *ScrapeConfig) setDirectory(dir string) {
	c.HTTPClient.SetDirectory(dir)
	c.FailureLogFile = commonconfig.JoinDir(dir, c.FailureLogFile)
	setDiscoveryDirectory(dir, c.Discovery, c.FileSDConfigs)
}
