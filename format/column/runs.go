package column

import (
	"fmt"

	"github.com/nilometer/nilometer/model/column"
)

// AppendRuns appends presence runs, which satisfy model/column's I2, to dst:
// one byte when there are none, two to four bytes a run. Invalid runs are a
// defect of the caller, and panic.
func AppendRuns(dst []byte, runs []column.Run) []byte {
	if err := column.ValidateRuns(runs, ChunkValuesMax); err != nil {
		panic(fmt.Sprintf("encode presence runs: %v", err))
	}
	dst = appendUvarint(dst, uint64(len(runs)))
	next := 0
	for _, run := range runs {
		x := uint64(int(run.At)-next) << 2
		if run.State == column.Stale {
			x |= runStale
		}
		if run.Len > 1 {
			x |= runLong
		}
		dst = appendUvarint(dst, x)
		if run.Len > 1 {
			dst = appendUvarint(dst, uint64(run.Len-2))
		}
		next = run.End()
	}
	return dst
}

// A run is gap<<2 | flags, gap counted from the end of the run before.
const (
	runStale = 1 // the state is stale, else absent
	runLong  = 2 // the length less 2 follows, else it is one position
)

// DecodeRuns appends to dst the runs at the front of data, on a tile of n
// positions (at most ChunkValuesMax), and returns the bytes that follow them.
// What it returns satisfies model/column's I2. With an error dst and data are
// returned as they were.
func DecodeRuns(dst []column.Run, data []byte, n int) (runs []column.Run, rest []byte, err error) {
	r := reader{part: "presence runs", b: data}
	if n < 0 || n > ChunkValuesMax {
		r.fail(0, fmt.Sprintf("a tile of %d positions exceeds %d", n, ChunkValuesMax))
		return dst, data, r.err
	}
	was := len(dst)
	next := 0
	for range r.count(n, "number of runs") {
		at := r.off
		x := r.uvarint()
		run := column.Run{Len: 1, State: column.Absent}
		if x&runStale != 0 {
			run.State = column.Stale
		}
		if x&runLong != 0 {
			run.Len = uint16(2 + r.count(n, "length of a run"))
		}
		if r.err == nil && (x>>2 >= uint64(n) || next+int(x>>2)+int(run.Len) > n) {
			r.fail(at, fmt.Sprintf("run past the last of %d positions", n))
		}
		if k := len(dst) - 1; r.err == nil && x>>2 == 0 && k >= was && dst[k].State == run.State {
			r.fail(at, "run continues the one before")
		}
		if r.err != nil {
			return dst[:was], data, r.err
		}
		run.At = uint16(next + int(x>>2))
		next = run.End()
		dst = append(dst, run)
	}
	if r.err != nil {
		return dst[:was], data, r.err
	}
	return dst, data[r.off:], nil
}
