package tsdb

import (
	"context"
	"fmt"
)

// logSegmentsMax is the number of segments of the log over which groups that are
// written too seldom to be sealed in time are made independent of the oldest
// ones. It bounds the log on disk, and what a start reads. Late samples are an
// exception: they keep their segments until they are written to blocks.
const logSegmentsMax = 8

// boundLog makes the oldest segments of the log dispensable when there are too
// many.
func (db *DB) boundLog(ctx context.Context) error {
	current := db.memory.log.Segment()
	if current < logSegmentsMax {
		return nil
	}
	oldest := current - logSegmentsMax + 1
	for _, b := range db.opened() {
		if db.memory.head(b.id).NeededSegment(current) >= oldest {
			continue
		}
		if err := db.memory.heads.SealBefore(ctx, oldest); err != nil {
			return fmt.Errorf("bound the log: %w", err)
		}
		return nil
	}
	return nil
}
