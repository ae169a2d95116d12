package seal

import (
	"encoding/binary"

	"github.com/klauspost/compress/s2"
	"github.com/prometheus/prometheus/model/labels"
)

// Definition gives a series of a tenant a number that is never used again.
type Definition struct {
	Number uint64
	Labels labels.Labels
}

// Limits of a frame of definitions.
const (
	// DefinitionsMax bounds the definitions of a frame.
	DefinitionsMax = 1 << 16
	// definitionsBytesMax bounds what a frame is decompressed to.
	definitionsBytesMax = 256 << 20
	labelsMax           = 1 << 12
)

// AppendSeries appends the head of a frame of definitions: at most
// DefinitionsMax, numbers in order. Strings are written once.
func AppendSeries(dst []byte, tenant string, defs []Definition) []byte {
	var raw, refs []byte
	symbols := map[string]uint64{}
	ref := func(s string) {
		id, ok := symbols[s]
		if !ok {
			id = uint64(len(symbols))
			symbols[s] = id
			raw = appendBytes(raw, s)
		}
		refs = binary.AppendUvarint(refs, id)
	}
	last := uint64(0)
	for _, d := range defs {
		refs = binary.AppendUvarint(refs, d.Number-last)
		last = d.Number
		refs = binary.AppendUvarint(refs, uint64(d.Labels.Len()))
		d.Labels.Range(func(l labels.Label) { ref(l.Name); ref(l.Value) })
	}
	head := appendBytes(nil, tenant)
	head = binary.AppendUvarint(head, uint64(len(symbols)))
	head = append(head, raw...)
	head = binary.AppendUvarint(head, uint64(len(defs)))
	return append(dst, s2.Encode(nil, append(head, refs...))...)
}

// ReadSeries decodes the head of a frame of definitions and calls fn with each.
func ReadSeries(head []byte, fn func(tenant string, d Definition) error) error {
	n, err := s2.DecodedLen(head)
	if err != nil || n > definitionsBytesMax || n > 256*len(head)+1024 {
		return corrupt(0, "definitions of %d bytes in %d (%v)", n, len(head), err)
	}
	raw, err := s2.Decode(nil, head)
	if err != nil {
		return corrupt(0, "definitions that cannot be decompressed: %v", err)
	}
	r := reader{b: raw}
	tenant := string(r.bytes())
	symbols := make([]string, 0, r.count(len(raw)))
	for range cap(symbols) {
		symbols = append(symbols, string(r.bytes()))
		if r.err != nil {
			return r.err
		}
	}
	symbol := func() string {
		i := r.uvarint()
		if i >= uint64(len(symbols)) {
			r.fail("symbol %d of %d", i, len(symbols))
			return ""
		}
		return symbols[i]
	}
	number := uint64(0)
	b := labels.NewScratchBuilder(16)
	for range r.count(DefinitionsMax) {
		number += r.uvarint()
		b.Reset()
		for range r.count(labelsMax) {
			name := symbol()
			b.Add(name, symbol())
			if r.err != nil {
				return r.err
			}
		}
		if r.err != nil {
			return r.err
		}
		if err := fn(tenant, Definition{Number: number, Labels: b.Labels()}); err != nil {
			return err
		}
	}
	if r.err == nil && r.off != len(raw) {
		r.fail("bytes after the end of definitions")
	}
	return r.err
}
