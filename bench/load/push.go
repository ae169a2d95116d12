package load

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/klauspost/compress/snappy"
	"golang.org/x/sync/errgroup"
)

const (
	// requestSamples is what Prometheus' sender puts into one request at most.
	requestSamples = 2000
	// attemptsMax bounds the retries of one request.
	attemptsMax = 8
	answerMax   = 4 << 10
)

// Push describes how a load is pushed by remote write.
type Push struct {
	// URL of the receiver.
	URL string
	// From and To are the first and last tick pushed; Step is the ticks between
	// two samples of a series, at least 1.
	From, To, Step int64
	// Concurrency is the number of senders, default 2. A target belongs to one
	// sender, so that its samples arrive in order.
	Concurrency int
	// SamplesPerSecond bounds the whole push; 0 pushes as fast as it goes.
	SamplesPerSecond int
	// Live waits for each tick to come to pass before it is pushed.
	Live bool
}

// Pushed counts what a push brought.
type Pushed struct {
	Samples, Requests, Retries, Bytes int64
	Took                              time.Duration
}

// Push sends the samples of all targets from tick From to To to a remote-write
// receiver: tick by tick, each target in requests of 2,000 samples, every label
// set complete. Answers 5xx and 429 are tried again a few times; any other
// refusal ends the push. On an error the counts so far are returned.
func (l *Load) Push(ctx context.Context, client *http.Client, p Push) (Pushed, error) {
	if p.Concurrency < 1 {
		p.Concurrency = 2
	}
	if p.Step < 1 || p.From < 0 || p.To < p.From {
		return Pushed{}, fmt.Errorf("push to %s: ticks %d to %d by %d: needs 0 ≤ from ≤ to and a step of at least 1", p.URL, p.From, p.To, p.Step)
	}
	began := time.Now()
	var c counts
	g, ctx := errgroup.WithContext(ctx)
	for worker := range p.Concurrency {
		g.Go(func() error {
			s := sender{load: l, push: p, client: client, counts: &c, began: began}
			return s.run(ctx, worker)
		})
	}
	err := g.Wait()
	return Pushed{Samples: c.samples.Load(), Requests: c.requests.Load(), Retries: c.retries.Load(), Bytes: c.bytes.Load(), Took: time.Since(began)}, err
}

type counts struct{ samples, requests, retries, bytes atomic.Int64 }

// sender pushes the targets of one worker.
type sender struct {
	load       *Load
	push       Push
	client     *http.Client
	counts     *counts
	began      time.Time
	request    WriteRequest
	compressed []byte
}

func (s *sender) run(ctx context.Context, worker int) error {
	tickMs := s.load.opts.Tick.Milliseconds()
	for tick := s.push.From; tick <= s.push.To; tick += s.push.Step {
		if s.push.Live {
			if err := sleep(ctx, time.Until(time.UnixMilli(tick*tickMs))); err != nil {
				return err
			}
		}
		for target := worker; target < len(s.load.targets); target += s.push.Concurrency {
			if err := s.target(ctx, target, tick, tick*tickMs); err != nil {
				return err
			}
		}
	}
	return nil
}

func (s *sender) target(ctx context.Context, target int, tick, unixMs int64) (err error) {
	own := s.load.targets[target].Labels
	s.load.Samples(target, tick, func(sample Sample) bool {
		s.request.Add(own, sample.Labels, Point{unixMs, sample.Value})
		if s.request.Samples() >= requestSamples {
			err = s.flush(ctx)
		}
		return err == nil
	})
	if err != nil {
		return err
	}
	return s.flush(ctx)
}

// flush sends the request gathered.
func (s *sender) flush(ctx context.Context) error {
	samples := int64(s.request.Samples())
	if samples == 0 {
		return nil
	}
	retries, sent, err := Send(ctx, s.client, s.push.URL, &s.request, &s.compressed)
	s.counts.retries.Add(int64(retries))
	if err != nil {
		return err
	}
	s.counts.bytes.Add(int64(sent))
	s.counts.requests.Add(1)
	total := s.counts.samples.Add(samples)
	if limit := s.push.SamplesPerSecond; limit > 0 {
		due := time.Duration(float64(total) / float64(limit) * float64(time.Second))
		return sleep(ctx, time.Until(s.began.Add(due)))
	}
	return nil
}

// Send pushes one request, compressed into scratch, and empties it. It tries
// again on 429 and 5xx and reports how often, and how many bytes were sent.
func Send(ctx context.Context, client *http.Client, url string, w *WriteRequest, scratch *[]byte) (retries, sent int, err error) {
	*scratch = snappy.Encode((*scratch)[:cap(*scratch)], w.Bytes())
	w.Reset()
	for ; ; retries++ {
		var again bool
		again, err = post(ctx, client, url, *scratch)
		if err == nil || !again || retries == attemptsMax {
			break
		}
		if pause := sleep(ctx, 50*time.Millisecond<<retries); pause != nil {
			return retries, 0, pause
		}
	}
	if err != nil {
		return retries, 0, fmt.Errorf("push to %s: %w", url, err)
	}
	return retries, len(*scratch), nil
}

// post sends one compressed request; again tells whether a retry can help.
func post(ctx context.Context, client *http.Client, url string, body []byte) (again bool, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := client.Do(req)
	if err != nil {
		return ctx.Err() == nil, err
	}
	answer, err := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return true, err
	}
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode/100 == 5
	return again, fmt.Errorf("answered %s: %s", resp.Status, bytes.TrimSpace(answer))
}

// sleep waits for d or the end of ctx.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return context.Cause(ctx)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
