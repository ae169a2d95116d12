package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	mcolumn "github.com/nilometer/nilometer/model/column"
)

// tile is one series on one tile.
type tile struct {
	name     string
	values   []float64 // of the present positions
	runs     []mcolumn.Run
	constant bool
}

// recording is what one exporter's scrapes are as columns.
type recording struct {
	exporter string
	times    []int64
	series   []*seriesColumn
}

type seriesColumn struct {
	name   string
	values []float64 // by position
	seen   []bool
}

// load parses all scrapes of an exporter.
func load(exporter string) (*recording, error) {
	r, err := corpus.Open(exporter)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	rec := &recording{exporter: exporter}
	byName := map[string]*seriesColumn{}
	symbols := labels.NewSymbolTable()
	for {
		s, err := r.Next()
		if errors.Is(err, io.EOF) {
			return rec, nil
		}
		if err != nil {
			return nil, err
		}
		if s.Failed() {
			continue
		}
		pos := len(rec.times)
		rec.times = append(rec.times, s.UnixMs)
		if err := rec.parse(bytes.Clone(s.Body), pos, byName, symbols); err != nil {
			return nil, fmt.Errorf("parse the scrape of %s at %d: %w", exporter, s.UnixMs, err)
		}
	}
}

func (rec *recording) parse(body []byte, pos int, byName map[string]*seriesColumn, symbols *labels.SymbolTable) error {
	return corpus.Parse(body, symbols, func(s corpus.Series) {
		c := byName[string(s.Text)]
		if c == nil {
			c = &seriesColumn{name: string(s.Text)}
			byName[c.name] = c
			rec.series = append(rec.series, c)
		}
		for len(c.values) <= pos {
			c.values, c.seen = append(c.values, 0), append(c.seen, false)
		}
		c.values[pos], c.seen[pos] = s.Value, true
	})
}

// cut cuts what every step-th scrape from offset on brings into tiles of n
// positions, and returns them with their time columns.
func (rec *recording) cut(step, offset, n int) (tiles []tile, times [][]int64) {
	var picked []int
	for pos := offset; pos < len(rec.times); pos += step {
		picked = append(picked, pos)
	}
	for ; len(picked) >= n; picked = picked[n:] {
		column := make([]int64, n)
		for i, pos := range picked[:n] {
			column[i] = rec.times[pos]
		}
		times = append(times, column)
		for _, c := range rec.series {
			if t := c.tile(picked[:n]); len(t.values) > 0 {
				tiles = append(tiles, t)
			}
		}
	}
	return tiles, times
}

func (c *seriesColumn) tile(positions []int) tile {
	t := tile{name: c.name, constant: true}
	for i, pos := range positions {
		if pos >= len(c.seen) || !c.seen[pos] {
			t.runs = mcolumn.AppendState(t.runs, i, mcolumn.Absent)
			continue
		}
		t.values = append(t.values, c.values[pos])
		if math.Float64bits(c.values[pos]) != math.Float64bits(t.values[0]) {
			t.constant = false
		}
	}
	return t
}
