package config

import (
	"fmt"
	"slices"

	commonconfig "github.com/prometheus/common/config"
	"go.yaml.in/yaml/v3"

	"github.com/nilometer/nilometer/discovery"
	_ "github.com/nilometer/nilometer/discovery/builtin" // what can be read
)

// sections is implemented by what has keys that are not among its fields: it
// reads the key that is one, and tells whether it was.
type sections interface {
	section(s *strict, key, val *yaml.Node, path string) bool
}

// section reads the entries of one way to find targets.
func (c *ScrapeConfig) section(s *strict, key, val *yaml.Node, path string) bool {
	return readDiscovery(s, key, val, path, &c.Discovery)
}

// readDiscovery adds the entries of a section of discovery to out; false: the key
// is none.
func readDiscovery(s *strict, key, val *yaml.Node, path string, out *[]discovery.Config) bool {
	if !slices.Contains(discovery.Sections(), key.Value) {
		return false
	}
	if val.Kind == yaml.AliasNode {
		val = val.Alias
	}
	if val.Kind == yaml.ScalarNode && val.Tag == "!!null" {
		return true
	}
	if val.Kind != yaml.SequenceNode {
		s.report(val, path, "expected a list, found %s", kindName(val))
		return true
	}
	for i, entry := range val.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		alone := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
			key, {Kind: yaml.SequenceNode, Tag: "!!seq", Content: []*yaml.Node{entry}},
		}}
		sd, err := discovery.Read(key.Value, alone.Decode)
		if err != nil {
			s.report(entry, at, "%s", plainError(err))
			continue
		}
		s.checkKeys(entry, sd.Type(), at)
		*out = append(*out, sd)
	}
	return true
}

// setDiscoveryDirectory joins relative paths with a directory.
func setDiscoveryDirectory(dir string, others []discovery.Config, files []*FileSDConfig) {
	for _, sd := range others {
		sd.SetDirectory(dir)
	}
	for _, sd := range files {
		if sd == nil {
			continue
		}
		for i, f := range sd.Files {
			sd.Files[i] = commonconfig.JoinDir(dir, f)
		}
	}
}

func checkFiles(path string, files []*FileSDConfig, report func(path, text string)) {
	for i, sd := range files {
		if sd == nil || len(sd.Files) == 0 {
			report(fmt.Sprintf("%s.file_sd_configs[%d].files", path, i), "is missing: name at least one file")
		}
	}
}
