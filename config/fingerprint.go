package config

import (
	"crypto/sha256"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	commonconfig "github.com/prometheus/common/config"
)

// Fingerprint changes when what c was read from does: the file and all that it
// names by patterns (scrape configs, rules) or by path (the Alertmanager's file).
// Files that cannot be read count as such.
func (c *Config) Fingerprint(file string) string {
	dir := filepath.Dir(file)
	paths := []string{file}
	for _, pattern := range slices.Concat(c.ScrapeConfigFiles, c.RuleFiles) {
		found, err := filepath.Glob(commonconfig.JoinDir(dir, pattern))
		if err != nil {
			continue // the file was checked
		}
		paths = append(paths, found...)
	}
	if f := c.Nilometer.Alerting.ConfigFile; f != "" {
		paths = append(paths, f)
	}
	slices.Sort(paths)
	sum := sha256.New()
	for _, path := range slices.Compact(paths) {
		content, err := hashOf(path)
		if err != nil {
			content = err.Error()
		}
		fmt.Fprintf(sum, "%q %s\n", path, content)
	}
	return string(sum.Sum(nil))
}

// hashOf is the hash of a file's content.
func hashOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close() //nolint:errcheck // read only
	h := sha256.New()
	if _, err := io.Copy(h, io.LimitReader(f, fileBytesMax+1)); err != nil {
		return "", err
	}
	return string(h.Sum(nil)), nil
}
