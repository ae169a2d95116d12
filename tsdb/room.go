package tsdb

import (
	"errors"
	"fmt"

	"github.com/nilometer/nilometer/tsdb/planner"
)

// errNoRoom: a job was not begun, because its result might not fit on the disk.
var errNoRoom = errors.New("not enough room on the disk")

// roomMin is what a job leaves free, bytes: the log goes on, and so do the
// files of the head.
const roomMin = 256 << 20

// hasRoom refuses a job whose result, at most as large as its sources, might
// fill the disk. Drops give room, and need none.
func (db *DB) hasRoom(job planner.Job) error {
	if job.Kind == planner.Drop || db.deps.Bucket != nil {
		return nil
	}
	disk, err := db.directory.fs.Usage()
	if err != nil {
		return fmt.Errorf("ask for the room on the disk: %w", err)
	}
	var need uint64
	for _, b := range job.Blocks {
		need += b.Stats.Bytes()
	}
	least := min(uint64(roomMin), disk.Total/20)
	if disk.Total > 0 && disk.Free < need+least {
		return fmt.Errorf("%w: the job may need %d bytes and leave %d, the disk has %d", errNoRoom, need, least, disk.Free)
	}
	return nil
}
