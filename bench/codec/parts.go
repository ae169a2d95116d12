package main

import (
	"fmt"
	"text/tabwriter"

	"github.com/nilometer/nilometer/format/column"
)

// reportParts prints where the bytes of the chunks that change lie.
func reportParts(out *tabwriter.Writer, interval string, tiles []tile) error {
	var enc column.Encoder
	var sum column.Sizes
	var chunk []byte
	constants, bytes, samples := 0, 0, 0
	for _, t := range tiles {
		chunk = enc.Append(chunk[:0], t.values)
		samples += len(t.values)
		bytes += len(chunk)
		if t.constant {
			constants += len(chunk)
			continue
		}
		s, err := column.SizesOf(chunk, len(t.values))
		if err != nil {
			return fmt.Errorf("%s: %w", t.name, err)
		}
		sum.Header += s.Header
		sum.Layer += s.Layer
		sum.Specials += s.Specials
		sum.Sequence += s.Sequence
		sum.Exceptions += s.Exceptions
		sum.Packed += s.Packed
		sum.Ulps += s.Ulps
	}
	for _, part := range []struct {
		name  string
		bytes int
	}{
		{"constants", constants}, {"headers", sum.Header}, {"position layers", sum.Layer}, {"specials", sum.Specials},
		{"sequence headers", sum.Sequence}, {"exceptions", sum.Exceptions}, {"packed bits", sum.Packed}, {"packed corrections", sum.Ulps},
	} {
		fmt.Fprintf(out, "%s\t%s\t%d B\t%.4f\t%.1f %%\t\t\n", interval, part.name, part.bytes,
			float64(part.bytes)/float64(samples), 100*float64(part.bytes)/float64(bytes))
	}
	return nil
}
