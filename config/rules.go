package config

import (
	"embed"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sort"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

//go:embed defaults
var defaults embed.FS

// RuleFile is one file of rule groups.
type RuleFile struct {
	Path   string
	Groups []rulefmt.RuleGroup
}

// RuleFileError is everything wrong with one rule file.
type RuleFileError struct {
	Path string
	Err  error
}

// Error has a line a problem, each with the path.
func (e *RuleFileError) Error() string { return e.Err.Error() }

// Unwrap returns the problems.
func (e *RuleFileError) Unwrap() error { return e.Err }

// builtinPath is the name of the rules that come with the binary.
const builtinPath = "builtin/host.rules.yml"

// Defaults is the configuration of a server that was given none: it scrapes
// itself and this machine every 5 s and watches both with a handful of rules.
func Defaults() *Config {
	content, err := defaults.ReadFile("defaults/nilometer.yml")
	if err != nil {
		panic("config: the embedded defaults are missing: " + err.Error())
	}
	c, err := Parse(content, "nilometer.yml")
	if err != nil {
		panic("config: the embedded defaults are invalid: " + err.Error())
	}
	return c
}

// ReadRules reads the rule files of c: the patterns are expanded in the order
// of the configuration, each file is read once. What cannot be read or is
// invalid is left out and returned as one error a file beside the others: one
// bad file never takes the others down.
func (c *Config) ReadRules() (files []RuleFile, errs []error) {
	if c.Nilometer.BuiltinRules {
		content, err := defaults.ReadFile("defaults/host.rules.yml")
		if err != nil {
			panic("config: the embedded rules are missing: " + err.Error())
		}
		files, errs = appendRules(files, errs, builtinPath, content)
	}
	seen := map[string]bool{}
	for _, pattern := range c.RuleFiles {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			errs = append(errs, fmt.Errorf("rule_files: %q is not a valid pattern: %w", pattern, err))
			continue
		}
		sort.Strings(paths)
		for _, path := range paths {
			if seen[path] {
				continue
			}
			seen[path] = true
			content, err := os.ReadFile(path)
			if err != nil {
				errs = append(errs, &RuleFileError{path, fmt.Errorf("read rules: %w", err)})
				continue
			}
			files, errs = appendRules(files, errs, path, content)
		}
	}
	return files, errs
}

func appendRules(files []RuleFile, errs []error, path string, content []byte) ([]RuleFile, []error) {
	f, err := ParseRules(content, path)
	if err != nil {
		return files, append(errs, err)
	}
	return append(files, f), errs
}

// ParseRules reads and checks one rule file; the error lists everything wrong
// with it, a line each.
func ParseRules(content []byte, path string) (RuleFile, error) {
	groups, errs := rulefmt.Parse(content, false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	if len(errs) > 0 {
		for i, err := range errs {
			errs[i] = fmt.Errorf("%s: %w", path, err)
		}
		return RuleFile{}, &RuleFileError{path, errors.Join(errs...)}
	}
	return RuleFile{Path: path, Groups: groups.Groups}, nil
}
