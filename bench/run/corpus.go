package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/textparse"

	"github.com/nilometer/nilometer/bench/corpus"
	"github.com/nilometer/nilometer/bench/load"
)

// corpus is the scenario of that name.
func (r *runner) corpus(ctx context.Context) error {
	shift, err := corpusShift(time.Now().Add(-time.Minute))
	if err != nil {
		return err
	}
	ps, samples, err := r.fill(ctx, "corpus", "corpus: 2 h 15 min of four real exporters every 5 s by remote write", 0,
		func(ctx context.Context, client *http.Client, url string) (int64, error) {
			var total int64
			for _, name := range corpus.Names() {
				n, err := replay(ctx, client, url, name, shift, r.settings.quick)
				if total += n; err != nil {
					return total, err
				}
			}
			return total, nil
		})
	defer stopAll(ps)
	if err != nil {
		return err
	}
	return r.pushedDisk(ctx, "corpus: storage", ps, samples)
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

// quickScrapes is how much of each recording a quick run replays.
const quickScrapes = 120

// replay pushes one recording, a request a scrape, in order of time.
func replay(ctx context.Context, client *http.Client, url, name string, shift time.Duration, quick bool) (samples int64, err error) {
	reader, err := corpus.Open(name)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, reader.Close()) }()
	target := []labels.Label{{Name: "instance", Value: name + ":9100"}, {Name: "job", Value: name}}
	symbols := labels.NewSymbolTable()
	var request load.WriteRequest
	var compressed []byte
	for n := 0; !quick || n < quickScrapes; n++ {
		s, err := reader.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return samples, err
		}
		if s.Failed() {
			continue
		}
		if err := appendScrape(&request, s.Body, s.UnixMs+shift.Milliseconds(), target, symbols); err != nil {
			return samples, fmt.Errorf("replay %s at %d: %w", name, s.UnixMs, err)
		}
		samples += int64(request.Samples())
		if _, _, err := load.Send(ctx, client, url, &request, &compressed); err != nil {
			return samples, err
		}
	}
	return samples, nil
}

// appendScrape adds the series of a recorded exposition to a request.
func appendScrape(request *load.WriteRequest, body []byte, unixMs int64, target []labels.Label, symbols *labels.SymbolTable) error {
	p, err := textparse.New(body, "text/plain; version=0.0.4", symbols, textparse.ParserOptions{})
	if err != nil {
		return err
	}
	var own []labels.Label
	for {
		entry, err := p.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if entry != textparse.EntrySeries {
			continue
		}
		_, _, value := p.Series()
		var lset labels.Labels
		p.Labels(&lset)
		own = own[:0]
		lset.Range(func(l labels.Label) {
			if l.Name != "instance" && l.Name != "job" {
				own = append(own, l)
			}
		})
		request.Add(target, own, load.Point{UnixMs: unixMs, Value: value})
	}
}
