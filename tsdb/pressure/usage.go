package pressure

import "runtime/metrics"

// Usage is what the process has of memory, in bytes.
type Usage struct {
	// Anonymous is the resident memory that belongs to no file; 0 where the
	// system does not tell.
	Anonymous int64
	// OffHeap is what is outside of the Go heap by count.
	OffHeap int64
	// Runtime is what the Go runtime has from the system and has not given back.
	Runtime int64
	// Objects is what takes space on the Go heap, Live what of it the last
	// collection has found in use, Free what the heap keeps for later.
	Objects, Live, Free int64
}

// InUse is what would be left after a collection (I2): resident memory without
// garbage and without what the heap keeps for later. What was allocated since
// the last collection counts as garbage, until the next has looked at it.
func (u Usage) InUse() int64 {
	total := u.Anonymous
	if total == 0 {
		total = u.OffHeap + u.Runtime
	}
	garbage := max(u.Objects-u.Live, 0)
	if u.Live == 0 { // nothing was collected yet
		garbage = 0
	}
	// Resident memory may be less than what was allotted: never touched pages.
	return max(total-garbage-max(u.Free, 0), u.OffHeap/2+u.Live)
}

// The names of runtime/metrics.
const (
	metricTotal    = "/memory/classes/total:bytes"
	metricReleased = "/memory/classes/heap/released:bytes"
	metricFree     = "/memory/classes/heap/free:bytes"
	metricObjects  = "/memory/classes/heap/objects:bytes"
	metricLive     = "/gc/heap/live:bytes"
)

// OfProcess looks at this process. offHeap is the memory outside of the Go heap
// by count.
func OfProcess(offHeap int64) Usage {
	samples := []metrics.Sample{{Name: metricTotal}, {Name: metricReleased}, {Name: metricFree}, {Name: metricObjects}, {Name: metricLive}}
	metrics.Read(samples)
	of := func(i int) int64 {
		if samples[i].Value.Kind() != metrics.KindUint64 {
			return 0
		}
		return int64(samples[i].Value.Uint64())
	}
	return Usage{
		Anonymous: anonymous(), OffHeap: offHeap, Runtime: of(0) - of(1),
		Free: of(2), Objects: of(3), Live: of(4),
	}
}
