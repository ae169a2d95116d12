package plan

import (
	"fmt"
	"strings"
	"time"
)

// describe splits a node's line of Explain into operator and detail.
func describe(n Node) (name, detail string) {
	name, detail, _ = strings.Cut(n.describe(), " ")
	return name, detail
}

// Text prints a tree, one operator a line, inputs indented below, with what is
// known of each.
func (t *Tree) Text() string {
	var b strings.Builder
	t.write(&b, 0)
	return b.String()
}

func (t *Tree) write(b *strings.Builder, depth int) {
	b.WriteString(strings.Repeat("  ", depth) + t.Operator)
	if t.Detail != "" {
		b.WriteString(" " + t.Detail)
	}
	if e := t.Estimate; e != nil {
		fmt.Fprintf(b, " [about %d series, %d samples, %d bytes]", e.Series, e.Samples, e.Bytes)
	}
	if r := t.Trace; r != nil {
		fmt.Fprintf(b, " [%s: %d series, %d points from %d series, %d samples]",
			time.Duration(r.Seconds*float64(time.Second)).Round(time.Microsecond), r.Series, r.Points, r.SeriesSelected, r.SamplesRead)
	}
	b.WriteByte('\n')
	for _, in := range t.Inputs {
		in.write(b, depth+1)
	}
}
