package discovery

import (
	"errors"
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery/file"
)

// Group is a set of targets that share labels.
type Group struct {
	// Source names where the group comes from, unique within a job.
	Source string
	// Targets are the labels of each target; "__address__" is its host and
	// port.
	Targets []labels.Labels
	// Labels are added to every target of the group; a target's own win.
	Labels labels.Labels
}

// StaticGroup returns the group of one entry of static_configs: addresses
// (host or host:port) and their common labels.
func StaticGroup(addresses []string, common labels.Labels) Group {
	g := Group{Labels: common, Targets: make([]labels.Labels, len(addresses))}
	for i, a := range addresses {
		g.Targets[i] = labels.FromStrings(model.AddressLabel, a)
	}
	return g
}

// Options says how the targets of one job are found. The zero value finds none.
type Options struct {
	// Static groups are there from the start and never change. Their Source is
	// ignored.
	Static []Group
	// File names the files to watch.
	File []file.Options
	// Others are entries of the other sections of service discovery.
	Others []Config
}

// Validate reports every problem of o at once.
func (o Options) Validate() error {
	var errs []error
	for i, f := range o.File {
		if err := f.Validate(); err != nil {
			errs = append(errs, fmt.Errorf("file discovery %d: %w", i, err))
		}
	}
	return errors.Join(errs...)
}

// Problem is something that keeps a mechanism from answering; its last good
// groups stay.
type Problem struct {
	Job string
	// Source is what failed: a file's path.
	Source string
	Text   string
}
