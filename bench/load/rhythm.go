package load

import (
	"math"
	"slices"
	"sync"
	"time"
)

// Rhythm notes when targets are asked, and tells how regular that was. It is safe
// for concurrent use.
type Rhythm struct {
	interval time.Duration
	targets  []beat
}

// beat is one target's.
type beat struct {
	mu       sync.Mutex // guards what follows
	last     time.Time
	requests int
	missed   int
	off      []float32 // seconds that gaps differ from the interval
}

// NewRhythm returns a Rhythm of targets that should be asked every interval.
func NewRhythm(targets int, interval time.Duration) *Rhythm {
	return &Rhythm{interval: interval, targets: make([]beat, targets)}
}

// Note says that a target was asked. A gap of more than one and a half intervals
// counts as requests that were missed.
func (r *Rhythm) Note(target int, at time.Time) {
	b := &r.targets[target]
	b.mu.Lock()
	defer b.mu.Unlock()
	b.requests++
	if !b.last.IsZero() {
		gap := at.Sub(b.last)
		steps := max(1, math.Round(float64(gap)/float64(r.interval)))
		b.missed += int(steps) - 1
		b.off = append(b.off, float32((gap - time.Duration(steps)*r.interval).Abs().Seconds()))
	}
	b.last = at
}

// Reset forgets what was noted, but for when each target was asked last: the next
// request is measured against it.
func (r *Rhythm) Reset() {
	for i := range r.targets {
		b := &r.targets[i]
		b.mu.Lock()
		b.requests, b.missed, b.off = 0, 0, b.off[:0]
		b.mu.Unlock()
	}
}

// Regularity says how targets were asked.
type Regularity struct {
	// Requests came, and Missed should have.
	Requests, Missed int
	// Silent targets were never asked.
	Silent int
	// Median, P99 and Worst are how far gaps between two requests of one target
	// were from the interval, or from a multiple of it.
	Median, P99, Worst time.Duration
}

// Regularity returns what came of the first targets up to now: who was not asked
// for more than one and a half intervals has missed requests, too.
func (r *Rhythm) Regularity(targets int, now time.Time) Regularity {
	var out Regularity
	var off []float32
	for i := range r.targets[:targets] {
		b := &r.targets[i]
		b.mu.Lock()
		out.Requests += b.requests
		out.Missed += b.missed
		off = append(off, b.off...)
		if b.last.IsZero() {
			out.Silent++
		} else if steps := math.Round(float64(now.Sub(b.last)) / float64(r.interval)); steps > 1 {
			out.Missed += int(steps) - 1
		}
		b.mu.Unlock()
	}
	if len(off) == 0 {
		return out
	}
	slices.Sort(off)
	at := func(q float64) time.Duration {
		return time.Duration(float64(off[min(int(q*float64(len(off))), len(off)-1)]) * float64(time.Second))
	}
	out.Median, out.P99, out.Worst = at(0.5), at(0.99), at(1)
	return out
}
