// Package file finds targets in files: JSON or YAML lists of groups in
// Prometheus' file_sd format, watched for changes and read again at an
// interval. It is the leaf that imports upstream's file discovery.
//
// It owns nothing but the translation: its options, and the errors that
// upstream only logs, which it hands to the caller.
//
// Invariants:
//
//   - I1: a file that cannot be read or parsed keeps the groups of its last good
//     version; the error is reported until the file is read whole again.
package file

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"
)

// RefreshIntervalDefault is how often files are read again when no change was
// seen.
const RefreshIntervalDefault = 5 * time.Minute

// Options names the files of one entry of file_sd_configs.
type Options struct {
	// Files are paths; the last element may be a pattern. They end in .json,
	// .yml or .yaml.
	Files []string
	// RefreshInterval is how often the files are read again in any case; 0
	// means 5 minutes. A change is seen at once where the system tells; one in
	// the first moments, before the watch has begun, only then.
	RefreshInterval time.Duration
}

// Validate reports every problem of o at once.
func (o Options) Validate() error {
	var errs []error
	if len(o.Files) == 0 {
		errs = append(errs, errors.New("no file is named"))
	}
	if o.RefreshInterval < 0 {
		errs = append(errs, fmt.Errorf("refresh interval %s is negative", o.RefreshInterval))
	}
	for _, f := range o.Files {
		switch strings.ToLower(filepath.Ext(f)) {
		case ".json", ".yml", ".yaml":
		default:
			errs = append(errs, fmt.Errorf("file %q ends in none of .json, .yml and .yaml", f))
		}
		if strings.Contains(filepath.Dir(f), "*") {
			errs = append(errs, fmt.Errorf("file %q has a pattern in a directory; only the last element may be one", f))
		}
	}
	return errors.Join(errs...)
}
