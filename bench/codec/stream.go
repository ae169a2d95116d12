package main

import (
	"fmt"
	"math"
	"text/tabwriter"
	"time"

	"github.com/nilometer/nilometer/format/column"
)

// reportStreams prints what the same tiles take as open streams: bytes per
// sample and per change, the time to append a change, and to decode a sample.
func reportStreams(out *tabwriter.Writer, interval string, tiles []tile) error {
	var data []byte
	var appendNs, decodeNs float64
	samples, changes := 0, 0
	ends := make([]int, len(tiles))
	for round := range rounds {
		data, samples, changes = data[:0], 0, 0
		start := time.Now()
		for i, t := range tiles {
			var st column.StreamState
			for pos, v := range t.values {
				if st.Empty() || st.Bits() != math.Float64bits(v) {
					data = column.AppendStream(data, &st, pos, v)
					changes++
				}
			}
			samples += len(t.values)
			ends[i] = len(data)
		}
		ns := float64(time.Since(start))
		if round == 0 || ns < appendNs {
			appendNs = ns
		}
	}
	buf := make([]float64, 0, column.ChunkValuesMax)
	for round := range rounds {
		start := time.Now()
		from := 0
		for i, t := range tiles {
			got, err := column.DecodeStream(buf, data[from:ends[i]], len(t.values))
			if err != nil {
				return fmt.Errorf("%s: %w", t.name, err)
			}
			if len(got) != len(t.values) {
				return fmt.Errorf("%s: %d values of a stream of %d", t.name, len(got), len(t.values))
			}
			from = ends[i]
		}
		ns := float64(time.Since(start))
		if round == 0 || ns < decodeNs {
			decodeNs = ns
		}
	}
	fmt.Fprintf(out, "%s\tall, streams\t%d\t%.4f\t%.1f\t%.2f\t\n", interval, samples,
		float64(len(data))/float64(samples), appendNs/float64(samples), decodeNs/float64(samples))
	fmt.Fprintf(out, "%s\tstreams, by change\t%d\t%.4f\t%.1f\t%.2f\t\n", interval, changes,
		float64(len(data))/float64(changes), appendNs/float64(changes), decodeNs/float64(changes))
	return nil
}
