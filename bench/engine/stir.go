package main

import (
	"math"
	"time"

	"github.com/nilometer/nilometer/bench/corpus"
)

// window is the time in which series are said to change.
const window = 3 * time.Minute

// changes tells whether a series has several values in the n scrapes from at on.
func changes(rec *corpus.Recording, series, at, n int) bool {
	for _, values := range rec.Values[at+1 : at+n] {
		if math.Float64bits(values[series]) != math.Float64bits(rec.Values[at][series]) {
			return true
		}
	}
	return false
}

// changing is the share of series that change within n scrapes.
func changing(rec *corpus.Recording, n int) float64 {
	all, some := 0, 0
	for at := 0; at+n <= len(rec.Values); at += n {
		for series := range rec.Labels {
			if all++; changes(rec, series, at, n) {
				some++
			}
		}
	}
	return float64(some) / float64(max(1, all))
}

// stir makes series that stand still count up once in n scrapes until a share
// of all changes within them.
func stir(rec *corpus.Recording, n int, share float64) {
	for series := range rec.Labels {
		if changing(rec, n) >= share {
			return
		}
		still := true
		for at := 0; still && at+n <= len(rec.Values); at += n {
			still = !changes(rec, series, at, n)
		}
		if !still {
			continue
		}
		for k := range rec.Values {
			rec.Values[k][series] += float64((k + series) / max(1, n-1))
		}
	}
}
