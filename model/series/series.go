// Package series says what makes two label sets the same series, and which
// series are written together.
//
// It owns the canonical hash of a label set and the placement key. Both are
// pure functions of the labels, are stored in files and will be sent between
// nodes, so they can never change for data that exists.
//
// Invariants:
//
//   - I1: equal label sets have equal hashes; the hash depends on no process,
//     build tag or insertion order (labels are sorted by name).
//   - I2: the placement key is a function of the labels alone; all series of
//     one (job, instance) have one key, so that a target is never split.
package series

import (
	"encoding/binary"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
)

// Hash is the canonical 64-bit hash of a label set (xxhash64 over its
// canonical bytes, see AppendCanonical). Different label sets may share a
// hash: whoever looks up by Hash compares the labels too.
type Hash uint64

// Key is a placement key: the unit of writing (one lock, one writer) and, in
// a cluster, of sharding. It is unique within a tenant up to collisions,
// which cost balance and never correctness.
type Key uint64

// AppendCanonical appends the canonical bytes of lset to dst: for each label
// in order of its name, the uvarint length and bytes of the name, then those
// of the value.
func AppendCanonical(dst []byte, lset labels.Labels) []byte {
	lset.Range(func(l labels.Label) {
		dst = appendString(dst, l.Name)
		dst = appendString(dst, l.Value)
	})
	return dst
}

// HashOf returns the canonical hash of lset. scratch is a buffer to reuse;
// nil is allowed. The grown buffer is returned beside the hash.
func HashOf(lset labels.Labels, scratch []byte) (Hash, []byte) {
	scratch = AppendCanonical(scratch[:0], lset)
	return Hash(xxhash.Sum64(scratch)), scratch
}

// KeyOf returns the placement key of lset: the hash of (job, instance) when
// lset has an instance, else the hash of every label except the metric's name
// and the labels that number the series of one histogram or summary (le,
// quantile). scratch is a buffer to reuse; nil is allowed. The grown buffer
// is returned beside the key.
func KeyOf(lset labels.Labels, scratch []byte) (Key, []byte) {
	scratch = scratch[:0]
	if instance := lset.Get(model.InstanceLabel); instance != "" {
		scratch = append(scratch, 'i')
		scratch = appendString(scratch, lset.Get(model.JobLabel))
		scratch = appendString(scratch, instance)
		return Key(xxhash.Sum64(scratch)), scratch
	}
	scratch = append(scratch, 'l')
	lset.Range(func(l labels.Label) {
		switch l.Name {
		case model.MetricNameLabel, model.BucketLabel, model.QuantileLabel:
			return
		}
		scratch = appendString(scratch, l.Name)
		scratch = appendString(scratch, l.Value)
	})
	return Key(xxhash.Sum64(scratch)), scratch
}

func appendString(dst []byte, s string) []byte {
	dst = binary.AppendUvarint(dst, uint64(len(s)))
	return append(dst, s...)
}
