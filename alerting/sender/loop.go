package sender

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/nilometer/nilometer/alerting"
)

// Limits of one Alertmanager.
const (
	queueMax  = 10_000           // alerts that wait
	batchMax  = 256              // alerts in a request
	retryMin  = time.Second      // after a failure; doubled after each further one
	retryMax  = 30 * time.Second // at most
	endMax    = 5 * time.Second  // for what waits at the end of the process
	answerMax = 1 << 16          // bytes of an answer that are read
)

// loop sends to one Alertmanager.
type loop struct {
	url     string
	deps    Deps
	metrics *metrics
	wake    chan struct{} // at most one pending
	ended   chan struct{} // closed by end

	mu      sync.Mutex // guards what follows
	queue   []alerting.Alert
	client  *http.Client
	timeout time.Duration
}

func newLoop(url string, timeout time.Duration, client *http.Client, deps Deps, m *metrics) *loop {
	return &loop{url: url, client: client, timeout: timeout, deps: deps, metrics: m, wake: make(chan struct{}, 1), ended: make(chan struct{})}
}

// put adds alerts; the oldest of too many go.
func (l *loop) put(alerts []alerting.Alert) {
	if len(alerts) == 0 {
		return
	}
	l.mu.Lock()
	l.queue = append(l.queue, alerts...)
	if over := len(l.queue) - queueMax; over > 0 {
		l.queue = append([]alerting.Alert(nil), l.queue[over:]...)
		l.metrics.dropped.WithLabelValues(droppedFull).Add(float64(over))
	}
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *loop) take() []alerting.Alert {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := min(batchMax, len(l.queue))
	batch := l.queue[:n:n]
	if l.queue = l.queue[n:]; len(l.queue) == 0 {
		l.queue = nil
	}
	return batch
}

func (l *loop) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.queue)
}

// use makes requests from the next one on go through another client.
func (l *loop) use(client *http.Client, timeout time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.client.CloseIdleConnections()
	l.client, l.timeout = client, timeout
}

func (l *loop) connection() (*http.Client, time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.client, l.timeout
}

// end stops the loop, once: what waits is lost. A request under way may go on.
func (l *loop) end() {
	close(l.ended)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.metrics.dropped.WithLabelValues(droppedGone).Add(float64(len(l.queue)))
	l.queue = nil
}

// run sends until the loop or ctx ends; then it tries once more, what waits.
func (l *loop) run(ctx context.Context) {
	defer func() {
		client, _ := l.connection()
		client.CloseIdleConnections()
	}()
	for {
		select {
		case <-l.wake:
			for batch := l.take(); len(batch) > 0; batch = l.take() {
				if !l.deliver(ctx, batch) {
					l.flush(ctx, batch)
					return
				}
			}
		case <-l.ended:
			return
		case <-ctx.Done():
			l.flush(ctx, l.take())
			return
		}
	}
}

// deliver sends a batch until the Alertmanager has it or refuses it (I2); false:
// the end came first.
func (l *loop) deliver(ctx context.Context, batch []alerting.Alert) bool {
	for wait := retryMin; ; wait = min(2*wait, retryMax) {
		again, err := l.send(ctx, batch)
		if ctx.Err() != nil && err != nil {
			return false
		}
		if err == nil {
			l.metrics.sent.Add(float64(len(batch)))
			return true
		}
		l.metrics.failed.Inc()
		if !again {
			l.metrics.dropped.WithLabelValues(droppedRefused).Add(float64(len(batch)))
			l.deps.Logger.Error("an Alertmanager refuses alerts, they are lost", "url", l.url, "count", len(batch), "err", err)
			return true
		}
		l.deps.Logger.Error("alerts not sent, it is tried again", "url", l.url, "count", len(batch), "err", err, "retry_after", wait.String())
		select {
		case <-time.After(wait):
		case <-l.ended:
			return false
		case <-ctx.Done():
			return false
		}
	}
}

// flush sends at the end of the process what waits, as long as it goes well.
func (l *loop) flush(ctx context.Context, batch []alerting.Alert) {
	select {
	case <-l.ended:
		l.metrics.dropped.WithLabelValues(droppedGone).Add(float64(len(batch)))
		return
	default:
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), endMax)
	defer cancel()
	for ; len(batch) > 0; batch = l.take() {
		if _, err := l.send(last, batch); err != nil {
			lost := len(batch) + l.len()
			l.metrics.dropped.WithLabelValues(droppedEnd).Add(float64(lost))
			l.deps.Logger.Error("alerts not sent before the end", "url", l.url, "count", lost, "err", err)
			return
		}
		l.metrics.sent.Add(float64(len(batch)))
	}
}

// posted is an alert as version 2 of the API has it.
type posted struct {
	Labels       map[string]string `json:"labels"`
	Annotations  map[string]string `json:"annotations"`
	StartsAt     time.Time         `json:"startsAt"`
	EndsAt       time.Time         `json:"endsAt"`
	GeneratorURL string            `json:"generatorURL"`
}

// send makes one request; again tells whether a failure may pass.
func (l *loop) send(ctx context.Context, batch []alerting.Alert) (again bool, err error) {
	out := make([]posted, len(batch))
	for i, a := range batch {
		out[i] = posted{a.Labels.Map(), a.Annotations.Map(), a.StartsAt.UTC(), a.EndsAt.UTC(), a.GeneratorURL}
	}
	body, err := json.Marshal(out)
	if err != nil {
		return false, err
	}
	client, timeout := l.connection()
	defer func() {
		if now, _ := l.connection(); now != client {
			client.CloseIdleConnections() // nobody uses them again
		}
	}()
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, l.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", l.deps.UserAgent)
	resp, err := client.Do(req)
	if err != nil {
		return true, err
	}
	defer resp.Body.Close() //nolint:errcheck // read as far as it matters
	answer, _ := io.ReadAll(io.LimitReader(resp.Body, answerMax))
	if resp.StatusCode/100 == 2 {
		return false, nil
	}
	return resp.StatusCode/100 == 5 || resp.StatusCode == http.StatusTooManyRequests, fmt.Errorf("status %d: %.200q", resp.StatusCode, answer)
}
