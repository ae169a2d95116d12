package scrape

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/metadb"
)

// limitError is a limit that fails a scrape.
type limitError struct {
	what      string // as in "sample_limit"
	max, seen int64
	more      string // which series
	who       string // what has so much; empty: the scrape
}

// Error names the limit, its value, what was seen and how to raise it.
func (e *limitError) Error() string {
	who, less := "the scrape", "let the target show less"
	if e.who != "" {
		who, less = e.who, "drop some by relabelling"
	}
	return fmt.Sprintf("the limit of %s is %d, %s has %d%s: raise it, or %s", e.what, e.max, who, e.seen, e.more, less)
}

// statusOf sorts the outcome of a scrape.
func statusOf(err error) metadb.TargetStatus {
	var parse *exposition.ParseError
	var limit *limitError
	var network net.Error
	switch {
	case err == nil:
		return metadb.TargetUp
	case errors.As(err, &limit):
		return metadb.TargetOverlimit
	case errors.As(err, &parse):
		return metadb.TargetParseError
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &network) && network.Timeout():
		return metadb.TargetTimeout
	}
	return metadb.TargetDown
}
