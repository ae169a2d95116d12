package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/bench/load"
)

// corpus is the scenario of that name: all scrapes, and every third one.
func (r *runner) corpus(ctx context.Context) error {
	for _, every := range []int{1, 3} {
		if err := r.corpusAt(ctx, every); err != nil {
			return err
		}
	}
	return nil
}

// corpusAt takes each n-th scrape.
func (r *runner) corpusAt(ctx context.Context, every int) (err error) {
	interval := time.Duration(every) * 5 * time.Second
	shift, err := corpusShift(time.Now().Add(-time.Minute))
	if err != nil {
		return err
	}
	ps, samples, err := r.fill(ctx, fmt.Sprintf("corpus-%s", interval), fmt.Sprintf("corpus: recorded scrapes of four exporters, 2 h 15 min every %s, by remote write", interval), 0,
		func(ctx context.Context, client *http.Client, url string) (int64, error) {
			scrapesMax := math.MaxInt
			if r.settings.quick {
				scrapesMax = quickScrapes
			}
			return replay(ctx, client, url, shift, every, scrapesMax)
		})
	defer stopAll(ps)
	if err != nil {
		return err
	}
	return r.pushedDisk(ctx, fmt.Sprintf("corpus: storage, every %s", interval), ps, samples)
}

// corpusShift is what to add to the recorded times so that the last scrape of
// all recordings is at end.
func corpusShift(end time.Time) (time.Duration, error) {
	var last int64
	for _, name := range corpus.Names() {
		reader, err := corpus.Open(name)
		if err != nil {
			return 0, err
		}
		for {
			s, err := reader.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return 0, errors.Join(err, reader.Close())
			}
			last = max(last, s.UnixMs)
		}
		if err := reader.Close(); err != nil {
			return 0, err
		}
	}
	return time.Duration(end.UnixMilli()-last) * time.Millisecond, nil
}

// quickScrapes is how much a quick run replays.
const quickScrapes = 480

// recording is one of the corpus at its next scrape.
type recording struct {
	reader *corpus.Reader
	every  int // takes each n-th scrape
	read   int // scrapes so far
	target []labels.Label
	scrape corpus.Scrape
}

// replay pushes up to scrapesMax scrapes of all recordings, each n-th of one and a request a scrape,
// in order of time over all of them: a head takes nothing that is far behind
// its newest sample.
func replay(ctx context.Context, client *http.Client, url string, shift time.Duration, every, scrapesMax int) (samples int64, err error) {
	var open []*recording
	defer func() {
		for _, rec := range open {
			err = errors.Join(err, rec.reader.Close())
		}
	}()
	for _, name := range corpus.Names() {
		reader, err := corpus.Open(name)
		if err != nil {
			return 0, err
		}
		open = append(open, &recording{reader: reader, every: every, target: []labels.Label{{Name: "instance", Value: name + ":9100"}, {Name: "job", Value: name}}})
	}
	live := slices.Clone(open)
	for _, rec := range open {
		if live, err = advance(live, rec); err != nil {
			return 0, err
		}
	}
	symbols := labels.NewSymbolTable()
	var request load.WriteRequest
	var compressed []byte
	for n := 0; len(live) > 0 && n < scrapesMax; n++ {
		rec := slices.MinFunc(live, func(a, b *recording) int { return cmp.Compare(a.scrape.UnixMs, b.scrape.UnixMs) })
		unixMs := rec.scrape.UnixMs + shift.Milliseconds()
		if err := appendScrape(&request, rec.scrape.Body, unixMs, rec.target, symbols); err != nil {
			return samples, fmt.Errorf("replay %s at %d: %w", rec.target[0].Value, rec.scrape.UnixMs, err)
		}
		samples += int64(request.Samples())
		if _, _, err := load.Send(ctx, client, url, &request, &compressed); err != nil {
			return samples, err
		}
		if live, err = advance(live, rec); err != nil {
			return samples, err
		}
	}
	return samples, nil
}

// advance moves a recording to its next scrape that did not fail, and takes it
// from live after the last.
func advance(live []*recording, rec *recording) ([]*recording, error) {
	for {
		var err error
		rec.scrape, err = rec.reader.Next()
		if errors.Is(err, io.EOF) {
			return slices.DeleteFunc(live, func(r *recording) bool { return r == rec }), nil
		}
		rec.read++
		if err != nil || (rec.read-1)%rec.every == 0 && !rec.scrape.Failed() {
			return live, err
		}
	}
}

// appendScrape adds the series of a recorded exposition to a request.
func appendScrape(request *load.WriteRequest, body []byte, unixMs int64, target []labels.Label, symbols *labels.SymbolTable) error {
	var own []labels.Label
	return corpus.Parse(body, symbols, func(s corpus.Series) {
		own = own[:0]
		s.Labels().Range(func(l labels.Label) {
			if l.Name != "instance" && l.Name != "job" {
				own = append(own, l)
			}
		})
		request.Add(target, own, load.Point{UnixMs: unixMs, Value: s.Value})
	})
}
