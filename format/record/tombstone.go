package record

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
)

// Tombstone is what a deletion hides of a head: of each series the samples
// between MinTime and MaxTime that are not later than the last one that the
// series had when the deletion was accepted. It leans on no other record.
type Tombstone struct {
	Tenant string
	// ID is that of the tombstone in the manifest. One that the manifest does
	// not have was never accepted, or is over.
	ID string
	// MinTime and MaxTime (ms, both included) bound what is hidden.
	MinTime, MaxTime int64
	// Late is the highest acceptance sequence of a late sample that is hidden.
	Late     uint64
	Matchers []TombstoneMatcher
	// Series are sorted by hash.
	Series []TombstoneSeries
}

// TombstoneMatcher is one matcher; Op is "=", "!=", "=~" or "!~".
type TombstoneMatcher struct {
	Op, Name, Value string
}

// TombstoneSeries is a series that matched, by the canonical hash of its
// labels, with the time of its last sample.
type TombstoneSeries struct {
	Hash uint64
	Last int64
}

// tombstoneSeriesBytes is the least that a series takes in a record.
const tombstoneSeriesBytes = 9

// AppendTombstone appends the body of a tombstone record.
func AppendTombstone(dst []byte, t *Tombstone) []byte {
	dst = appendString(dst, t.Tenant)
	dst = appendString(dst, t.ID)
	dst = binary.AppendVarint(dst, t.MinTime)
	dst = binary.AppendVarint(dst, t.MaxTime)
	dst = binary.AppendUvarint(dst, t.Late)
	dst = binary.AppendUvarint(dst, uint64(len(t.Matchers)))
	for _, m := range t.Matchers {
		dst = appendString(dst, m.Op)
		dst = appendString(dst, m.Name)
		dst = appendString(dst, m.Value)
	}
	dst = binary.AppendUvarint(dst, uint64(len(t.Series)))
	last := int64(0)
	for _, s := range t.Series {
		dst = binary.LittleEndian.AppendUint64(dst, s.Hash)
		dst = binary.AppendVarint(dst, s.Last-last)
		last = s.Last
	}
	return dst
}

// ReadTombstone decodes the body of a tombstone record.
func ReadTombstone(body []byte) (*Tombstone, error) {
	r := reader{data: body}
	t := &Tombstone{Tenant: string(r.bytes()), ID: string(r.bytes()), MinTime: r.varint(), MaxTime: r.varint(), Late: r.uvarint()}
	for range r.count(3) {
		m := TombstoneMatcher{Op: string(r.bytes()), Name: string(r.bytes()), Value: string(r.bytes())}
		if r.err != nil {
			break
		}
		t.Matchers = append(t.Matchers, m)
	}
	n := r.count(tombstoneSeriesBytes)
	t.Series = make([]TombstoneSeries, 0, n)
	last := int64(0)
	for range n {
		s := TombstoneSeries{Hash: r.uint64()}
		last += r.varint()
		s.Last = last
		if r.err != nil {
			break
		}
		t.Series = append(t.Series, s)
	}
	sorted := slices.IsSortedFunc(t.Series, func(a, b TombstoneSeries) int { return cmp.Compare(a.Hash, b.Hash) })
	if r.err == nil && !sorted {
		r.fail("the series of a tombstone are out of order")
	}
	if r.err == nil && r.pos != len(body) {
		r.fail("bytes after the end of a tombstone")
	}
	if r.err != nil {
		return nil, fmt.Errorf("tombstone: %w", r.err)
	}
	return t, nil
}
