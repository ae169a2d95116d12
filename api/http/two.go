package httpapi

import (
	"runtime"
	"slices"

	"github.com/nilometer/nilometer/api/deflate"
	"github.com/nilometer/nilometer/promql"
)

// Numbers take most of the time of a long answer, and compressing them most of the
// rest. Two goroutines do both where an answer has at least twoPoints, taskPoints or
// more at a time: with few at a time they wait for each other, and for a client that wakes up at every
// piece. A series of more than seriesPoints, a day at 15 s and a little, is sent in
// pieces, by one.
const (
	twoPoints    = 4096
	taskPoints   = 4096
	seriesPoints = 6000
	// taskBytes is what the text of a task has room for at first.
	taskBytes = 128 << 10
)

// byTwo returns how many points a task of two goroutines has: 0 if a second one is not
// worth its start.
func byTwo(m []promql.Series) int {
	if len(m) < 2 || runtime.GOMAXPROCS(0) < 2 {
		return 0
	}
	points := 0
	for i := range m {
		points += m[i].Points.Len()
	}
	if points < twoPoints {
		return 0
	}
	return min(taskPoints, points/2)
}

// task returns the end of the next task, the series from from on, which have
// least points if there are so many, and seriesPoints at most; long: it is a series of its own that has more.
func task(m []promql.Series, from, least int) (to int, long bool) {
	points := 0
	for to = from; to < len(m) && points < least; to++ {
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
func appendByTwo(dst []byte, m []promql.Series, least int, out *sink) []byte {
	zip := out.zip != nil
	own, other := &out.paper.own, &out.paper.other
	for _, w := range []*written{own, other} {
		w.text = slices.Grow(w.text[:0], taskBytes)
	}
	for from := 0; from < len(m) && !out.broken(); {
		to, long := task(m, from, least)
		next, nextLong := task(m, to, least)
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
