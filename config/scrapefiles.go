package config

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"

	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"
)

// scrapeFile is a file of scrape_config_files: it has scrape_configs alone.
type scrapeFile struct {
	ScrapeConfigs []*ScrapeConfig `yaml:"scrape_configs"`
}

// origin is where a scrape config of another file stands.
type origin struct {
	file  string
	root  *yaml.Node
	index int
}

// readScrapeFiles adds the jobs of scrape_config_files, in the order of the
// patterns and of the files' names. Relative paths in a file are relative to it.
func (c *Config) readScrapeFiles(s *strict, dir string) {
	for i, pattern := range c.ScrapeConfigFiles {
		at := fmt.Sprintf("scrape_config_files[%d]", i)
		paths, err := filepath.Glob(commonconfig.JoinDir(dir, pattern))
		if err != nil {
			s.problems = append(s.problems, Problem{File: s.file, Path: at, Text: fmt.Sprintf("%q is not a valid pattern: %v", pattern, err)})
			continue
		}
		slices.Sort(paths)
		for _, path := range paths {
			c.readScrapeFile(s, path)
		}
	}
}

func (c *Config) readScrapeFile(s *strict, path string) {
	info, err := os.Stat(path)
	var content []byte
	if err == nil && info.Size() > fileBytesMax {
		err = fmt.Errorf("it has %d bytes, at most %d are read", info.Size(), fileBytesMax)
	}
	if err == nil {
		content, err = os.ReadFile(path)
	}
	if err != nil {
		s.problems = append(s.problems, Problem{File: path, Text: err.Error()})
		return
	}
	root, err := parseYAML(content, path)
	if problems, ok := err.(Problems); ok {
		s.problems = append(s.problems, problems...)
	}
	if root == nil {
		return
	}
	part := &strict{file: path}
	var f scrapeFile
	part.decode(root, reflect.ValueOf(&f).Elem(), "", 0)
	s.problems = append(s.problems, part.problems...)
	for i, sc := range f.ScrapeConfigs {
		if sc == nil {
			sc = new(ScrapeConfig)
			sc.setDefaults()
		}
		sc.origin = &origin{path, root, i}
		sc.setDirectory(filepath.Dir(path))
		c.ScrapeConfigs = append(c.ScrapeConfigs, sc)
	}
}

var scrapeConfigPath = regexp.MustCompile(`^scrape_configs\[(\d+)\]`)

// problem is a Problem with its place: in the main file, whose root is given, or
// in the one that the job is from.
func (c *Config) problem(file string, root *yaml.Node, path, text string) Problem {
	if m := scrapeConfigPath.FindStringSubmatch(path); m != nil {
		if i, err := strconv.Atoi(m[1]); err == nil && i < len(c.ScrapeConfigs) && c.ScrapeConfigs[i] != nil && c.ScrapeConfigs[i].origin != nil {
			o := c.ScrapeConfigs[i].origin
			file, root, path = o.file, o.root, fmt.Sprintf("scrape_configs[%d]%s", o.index, strings.TrimPrefix(path, m[0]))
		}
	}
	return Problem{File: file, Line: lineOf(root, path), Path: path, Text: text}
}
