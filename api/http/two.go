package httpapi

import (
	"runtime"
	"slices"

	"github.com/nilometer/nilometer/api/deflate"
	"github.com/nilometer/nilometer/promql"
)

// Numbers take most of the time of a long answer, and compressing them most of the
// rest. Two goroutines do both where an answer has at least twoPoints, taskPoints or
// more at a time. A series of more than seriesPoints is sent in pieces, by one.
const (
	twoPoints    = 4096
	taskPoints   = 1024
	seriesPoints = 2048
	// taskBytes is what the text of a task has room for at first.
	taskBytes = 48 << 10
)

// worthTwo tells whether a second goroutine is worth its start.
func worthTwo(m []promql.Series) bool {
	if len(m) < 2 || runtime.GOMAXPROCS(0) < 2 {
		return false
	}
	points := 0
	for i := range m {
		if points += m[i].Points.Len(); points >= twoPoints {
			return true
		}
	}
	return false
}

// task returns the end of the next task, the series from from on, which have
// seriesPoints at most; long: it is a series of its own that has more.
func task(m []promql.Series, from int) (to int, long bool) {
	points := 0
	for to = from; to < len(m) && points < taskPoints; to++ {
		points += m[to].Points.Len()
		if points > seriesPoints {
			if to == from {
				return to + 1, true
			}
			break
		}
	}
	return to, false
}

// written is what one of two goroutines has written, compressed or not.
type written struct {
	text   []byte
	part   deflate.Part
	panics any // why there is nothing
}

// write makes w the text of series.
func (w *written) write(m []promql.Series, from, to int, zip bool) {
	w.text = appendSeries(w.text, m, from, to, nil)
	if zip {
		w.part.Compress(w.text)
	}
}

// appendByTwo is appendSeries of all. While this goroutine writes one task, another
// writes the one that follows; it ends before anything more is sent.
func appendByTwo(dst []byte, m []promql.Series, out *sink) []byte {
	zip := out.zip != nil
	own, other := &out.paper.own, &out.paper.other
	for _, w := range []*written{own, other} {
		w.text = slices.Grow(w.text[:0], taskBytes)
	}
	for from := 0; from < len(m) && !out.broken(); {
		to, long := task(m, from)
		next, nextLong := task(m, to)
		if long || nextLong || next == to {
			dst = out.pass(appendSeries(dst, m, from, to, out))
			from = to
			continue
		}
		done := make(chan struct{})
		go func() {
			defer close(done)
			defer func() { other.panics = recover() }()
			other.text = other.text[:0]
			other.write(m, to, next, zip)
		}()
		if len(dst) >= pieceBytes/8 {
			out.send(dst)
			dst = dst[:0]
		}
		own.text = append(own.text[:0], dst...)
		dst = dst[:0]
		own.write(m, from, to, zip)
		<-done
		if other.panics != nil {
			panic(other.panics)
		}
		out.sendWritten(own)
		out.sendWritten(other)
		from = next
	}
	return dst
}
