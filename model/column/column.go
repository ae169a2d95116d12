// Package column has the words for columns of samples: a time column shared
// by the series of a group, and the presence of one series on it.
//
// It owns values only. How columns become bytes is format/column's business;
// who keeps them, tsdb's.
//
// Invariants:
//
//   - I1: a time column is strictly increasing, in milliseconds since the
//     Unix epoch.
//   - I2: runs are sorted by position, do not overlap, do not touch when their
//     states are equal, and are never empty; a position outside every run is
//     present.
package column

import (
	"fmt"
	"math"
	"sort"

	"github.com/prometheus/prometheus/model/value"
)

// TilePositions is the largest number of positions in a tile: the unit in
// which value columns are encoded, and the length of every decode buffer.
const TilePositions = 480

// State says what a series has at a position of its time column.
type State uint8

// The three states of a position. A stale marker is a sample: it occupies
// (series, timestamp) and ends lookback, but has no place in the value stream.
const (
	Present State = iota
	Absent
	Stale
)

// String returns the state's name.
func (s State) String() string {
	switch s {
	case Present:
		return "present"
	case Absent:
		return "absent"
	case Stale:
		return "stale"
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}

// Run is a stretch of positions [At, At+Len) of one tile that are not present.
// A series' exceptions to "present throughout" are a sorted list of them (I2).
type Run struct {
	At, Len uint16
	State   State
}

// End is the first position after the run.
func (r Run) End() int { return int(r.At) + int(r.Len) }

// ValidateRuns reports the first violation of I2 by runs on a tile of n
// positions, or nil.
func ValidateRuns(runs []Run, n int) error {
	end, last := 0, Present
	for i, r := range runs {
		switch {
		case r.Len == 0:
			return fmt.Errorf("presence run %d is empty", i)
		case r.State != Absent && r.State != Stale:
			return fmt.Errorf("presence run %d has the state %s", i, r.State)
		case int(r.At) < end:
			return fmt.Errorf("presence run %d begins at position %d, before the end %d of the one before", i, r.At, end)
		case int(r.At) == end && i > 0 && r.State == last:
			return fmt.Errorf("presence run %d continues the one before", i)
		case r.End() > n:
			return fmt.Errorf("presence run %d ends at position %d of a tile of %d", i, r.End(), n)
		}
		end, last = r.End(), r.State
	}
	return nil
}

// PresentCount returns how many of n positions are present.
func PresentCount(runs []Run, n int) int {
	for _, r := range runs {
		n -= int(r.Len)
	}
	return n
}

// SampleCount returns how many of n positions hold a sample: the present ones
// and the stale markers.
func SampleCount(runs []Run, n int) int {
	for _, r := range runs {
		if r.State == Absent {
			n -= int(r.Len)
		}
	}
	return n
}

// StateAt returns the state of position pos.
func StateAt(runs []Run, pos int) State {
	i := sort.Search(len(runs), func(i int) bool { return runs[i].End() > pos })
	if i < len(runs) && int(runs[i].At) <= pos {
		return runs[i].State
	}
	return Present
}

// AppendState extends runs by one position at the end, pos, with the given
// state. Positions are appended in order; Present adds nothing.
func AppendState(runs []Run, pos int, s State) []Run {
	if s == Present {
		return runs
	}
	if k := len(runs) - 1; k >= 0 && runs[k].State == s && runs[k].End() == pos {
		runs[k].Len++
		return runs
	}
	return append(runs, Run{At: uint16(pos), Len: 1, State: s})
}

// Materialize appends to dst the samples of one tile as (time, value) pairs in
// order of time: values are those of the present positions, stale markers come
// with StaleNaN's exact bits, absent positions are left out. times has one
// entry per position; len(values) is PresentCount(runs, len(times)).
func Materialize(dst []Sample, times []int64, values []float64, runs []Run) []Sample {
	next, r := 0, 0
	for pos, t := range times {
		for r < len(runs) && runs[r].End() <= pos {
			r++
		}
		if r < len(runs) && int(runs[r].At) <= pos {
			if runs[r].State == Stale {
				dst = append(dst, Sample{T: t, V: StaleNaN()})
			}
			continue
		}
		dst = append(dst, Sample{T: t, V: values[next]})
		next++
	}
	return dst
}

// Sample is one sample: a float V, or a histogram H. T and Start, the start
// timestamp (0: none), are in milliseconds since the Unix epoch.
type Sample struct {
	T     int64
	V     float64
	H     Histogram
	Start int64
}

// IsStale reports whether the sample is a stale marker.
func (s Sample) IsStale() bool { return s.H.IsZero() && IsStale(s.V) || s.H.IsStale() }

// SameValue reports whether two samples have the same value bit for bit: time
// and start timestamp aside (N1 is about values).
func (s Sample) SameValue(o Sample) bool {
	if s.IsStale() && o.IsStale() {
		return true
	}
	return sameBits(s.V, o.V) && s.H.Equal(o.H)
}

// StaleNaN returns the NaN whose bits mean "this series ended here".
func StaleNaN() float64 { return math.Float64frombits(value.StaleNaN) }

// IsStale reports whether v has exactly the bits of StaleNaN.
func IsStale(v float64) bool { return value.IsStaleNaN(v) }

// AppendPresent appends those of values, which are of the positions from at on,
// that runs do not take away.
func AppendPresent[T any](dst, values []T, at int, runs []Run) []T {
	next, end := at, at+len(values)
	for _, r := range runs {
		if int(r.At) >= end {
			break
		}
		if int(r.At) > next {
			dst = append(dst, values[next-at:int(r.At)-at]...)
		}
		next = max(next, r.End())
	}
	if next < end {
		dst = append(dst, values[next-at:]...)
	}
	return dst
}
