package remotewrite

import (
	"math"

	"github.com/prometheus/prometheus/model/exemplar"
	"github.com/prometheus/prometheus/model/labels"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/nilometer/nilometer/storage"
)

// Field numbers of the exemplars of both versions.
const (
	fieldExemplarLabels = 1
	fieldExemplarValue  = 2
	fieldExemplarTime   = 3
)

// decodeExemplar reads an exemplar of 1.0, whose labels are names and values.
func (r *request) decodeExemplar(b []byte, offset int) error {
	return r.exemplar(b, offset, func(value []byte, at int) error {
		return decodeLabel(&r.exemplarLabels, value, at)
	})
}

// decodeExemplarV2 reads an exemplar of 2.0, whose labels are references.
func (r *request) decodeExemplarV2(b []byte, offset int, left *int) error {
	return r.exemplar(b, offset, func(value []byte, at int) error {
		return r.decodeRefs(&r.exemplarLabels, value, at, left)
	})
}

// exemplar reads an exemplar; labelsOf reads its field of labels.
func (r *request) exemplar(b []byte, offset int, labelsOf func(value []byte, at int) error) error {
	x := exemplarEntry{labelsFrom: len(r.exemplarLabels)}
	for pos := 0; pos < len(b); {
		num, typ, n := protowire.ConsumeTag(b[pos:])
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		pos += n
		var v uint64
		switch {
		case num == fieldExemplarLabels && typ == protowire.BytesType:
			var value []byte
			if value, n = protowire.ConsumeBytes(b[pos:]); n >= 0 {
				if err := labelsOf(value, offset+pos+n-len(value)); err != nil {
					return err
				}
			}
		case num == fieldExemplarValue && typ == protowire.Fixed64Type:
			if v, n = protowire.ConsumeFixed64(b[pos:]); n >= 0 {
				x.v = math.Float64frombits(v)
			}
		case num == fieldExemplarTime && typ == protowire.VarintType:
			if v, n = protowire.ConsumeVarint(b[pos:]); n >= 0 {
				x.t = int64(v)
			}
		default:
			n = protowire.ConsumeFieldValue(num, typ, b[pos:])
		}
		if n < 0 {
			return fieldError(offset+pos, n)
		}
		pos += n
	}
	x.labelsTo = len(r.exemplarLabels)
	r.exemplars = append(r.exemplars, x)
	return nil
}

// exemplarsOf returns the exemplars of an entry as a batch has them.
func (r *request) exemplarsOf(s *seriesEntry, slot storage.Slot, dst []storage.ExemplarSample) []storage.ExemplarSample {
	for _, x := range r.exemplars[s.exemplarsFrom:s.exemplarsTo] {
		b := labels.NewScratchBuilder(x.labelsTo - x.labelsFrom)
		for _, l := range r.exemplarLabels[x.labelsFrom:x.labelsTo] {
			b.Add(string(l.name), string(l.value))
		}
		b.Sort()
		dst = append(dst, storage.ExemplarSample{Slot: slot, Exemplar: exemplar.Exemplar{Labels: b.Labels(), Value: x.v, Ts: x.t, HasTs: true}})
	}
	return dst
}

// rejectExemplars counts exemplars that were not kept. As Prometheus has it, they
// are no reason to refuse a request: a sender that repeats one changes nothing.
func (o *outcome) rejectExemplars(reason storage.Reason, n int) {
	if n == 0 {
		return
	}
	if o.rejectedExemplars == nil {
		o.rejectedExemplars = map[storage.Reason]int{}
	}
	o.rejectedExemplars[reason] += n
	o.exemplars -= n
}
