package limits

import (
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// Shape implements storage.Shaper: it says under which labels a series that id
// does not have yet is stored, or why it is not.
func (l *Limits) Shape(id tenant.ID, _ series.Key, lset labels.Labels, o storage.Offer) (labels.Labels, bool, storage.Reason) {
	var buf [4]string
	p := placeOf(id, lset)
	if isReport(p.metric) {
		return lset, false, storage.ReasonNone
	}
	s, now := l.options.Load().scoped(p), time.Now()
	metric, target := l.watches(p, s, now)
	if !metric && !target {
		return lset, false, storage.ReasonNone
	}
	l.mu.Lock()
	over := l.tooManyLocked(buf[:0], p, lset, o.Pending, metric, target, s, now)
	l.mu.Unlock()
	if len(over) == 0 {
		return lset, false, storage.ReasonNone
	}
	policy := s.Policy
	if policy != Report && (!o.Merges || p.instance == "") {
		policy = Refuse
	}
	l.over.WithLabelValues(string(policy)).Inc()
	switch policy {
	case Report:
		return lset, false, storage.ReasonNone
	case Refuse:
		l.refused.WithLabelValues(storage.ReasonCardinality.String()).Inc()
		return lset, false, storage.ReasonCardinality
	}
	return reshaped(lset, over, policy, s.Buckets), true, storage.ReasonNone
}

// reshaped returns lset with other values of some labels, or without them.
func reshaped(lset labels.Labels, names []string, p Policy, buckets int) labels.Labels {
	b := labels.NewBuilder(lset)
	for _, name := range names {
		switch p {
		case DropLabel:
			b.Del(name)
		case Replace:
			b.Set(name, ReplacedValue)
		default:
			b.Set(name, bucketOf(lset.Get(name), buckets))
		}
	}
	return b.Labels()
}

// bucketOf is the value that stands for v under Hash: the same at every start.
func bucketOf(v string, buckets int) string {
	return "bucket_" + strconv.FormatUint(xxhash.Sum64String(v)%uint64(buckets), 10)
}
