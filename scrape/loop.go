package scrape

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/metadb"
)

// state is what is known of a target from outside its loop.
type state struct {
	mu sync.Mutex // guards targetState
	targetState
}

type targetState struct {
	status      metadb.TargetStatus
	scraped     time.Time
	duration    time.Duration
	err         string
	warning     string
	samples     int
	added       int
	bodySize    int
	families    families
	id          metadb.TargetID
	version     int64
	savedScrape time.Time // the last scrape that the database knows
	savedStatus metadb.TargetStatus
}

func (s *state) get() targetState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.targetState
}

func (s *state) change(f func(*targetState)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f(&s.targetState)
}

// loop scrapes one target. One goroutine runs it; end stops it.
type loop struct {
	manager *Manager
	pool    *pool
	spec    *spec
	getter  getter
	sizes   sizes // of the last answer
	sink    *sink
	state   *state

	grown  atomic.Int64 // bytes of the last body beyond the buffers that are kept
	worked atomic.Int64 // bytes that the work on it took; 0: it was not whole
	ctx    context.Context
	cancel context.CancelCauseFunc
	done   chan struct{}
}

// Why a loop ends.
var (
	errGone     = errors.New("the target is gone")
	errReplaced = errors.New("the target goes on with other options")
)

// endTimeout bounds the writing of the markers of a target that is gone.
const endTimeout = 10 * time.Second

// startLoop scrapes until parent ends or the loop is ended. It first waits for
// old, the same target under other options, and goes on where it stood.
func (p *pool) startLoop(parent context.Context, s *spec, old *loop) *loop {
	l := &loop{
		manager: p.manager, pool: p, spec: s,
		getter: p.fetcher.of(s),
		sink:   newSink(p.manager, &p.options, s),
		state:  &state{targetState: targetState{status: metadb.TargetUnknown}},
		done:   make(chan struct{}),
	}
	if old != nil {
		l.state = old.state
	}
	l.ctx, l.cancel = context.WithCancelCause(parent)
	p.manager.wg.Go(func() {
		defer close(l.done)
		if old != nil {
			<-old.done
			l.sink.inherit(old.sink)
		}
		l.run()
	})
	return l
}

// end stops the loop; its done channel tells when.
func (l *loop) end(cause error) { l.cancel(cause) }

func (l *loop) run() {
	s := newSchedule(time.Now(), l.spec.interval, l.spec.phase(), l.pool.options.Source != nil)
	timer := time.NewTimer(time.Until(s.next))
	defer timer.Stop()
	defer l.getter.close()
	for {
		select {
		case <-timer.C:
		case <-l.ctx.Done():
			l.finish()
			return
		}
		now := time.Now()
		l.manager.metrics.lag.Observe(now.Sub(s.next).Seconds())
		l.scrape(now, s.stamp(now))
		l.manager.metrics.missed.Add(float64(s.advance(time.Now())))
		timer.Reset(time.Until(s.next))
	}
}

// finish marks a target that is gone as stale. One that goes on under other
// options, or after a restart, gets no markers.
func (l *loop) finish() {
	switch {
	case errors.Is(context.Cause(l.ctx), errReplaced):
		return
	case errors.Is(context.Cause(l.ctx), errGone):
		ctx, cancel := context.WithTimeout(context.WithoutCancel(l.ctx), endTimeout)
		defer cancel()
		w := l.manager.works.Get().(*work)
		defer l.manager.works.Put(w)
		if err := l.sink.end(ctx, w, time.Now().UnixMilli()); err != nil {
			l.manager.logger.Warn("a target that is gone was not marked stale", "target", l.spec.url, "err", err)
		}
	}
	l.sink.close()
}

// scrape fetches and stores once, and records how it went.
func (l *loop) scrape(start time.Time, t int64) {
	ctx, cancel := context.WithTimeout(l.ctx, deadline(l.spec.interval, l.spec.timeout))
	defer cancel()
	m := l.manager.bodies.get(l.sink.rank(), l.pool.options.BodySizeMax, l.sizes)
	defer m.free()

	body, format, err := l.fetch(ctx, m)
	if l.ctx.Err() != nil {
		return // ended meanwhile: not a failure of the target
	}
	l.sizes = m.sizes
	l.grown.Store(m.grown())
	l.worked.Store(0)
	if err == nil {
		l.worked.Store(m.grown() * workShare)
	}
	out, err := l.store(m, body, format, t, start, err)
	l.record(start, time.Since(start), len(body), out, err)
}

// fetch waits for one of the pool's places and gets the body.
func (l *loop) fetch(ctx context.Context, m *memory) ([]byte, exposition.Format, error) {
	waited, err := l.takePlace(ctx)
	if err != nil {
		return nil, 0, err
	}
	defer l.givePlace()
	body, format, err := l.getter.get(ctx, m)
	return body, format, l.afterWait(waited, err)
}

// storeTimeout bounds the storing of one scrape: it may outlast the deadline,
// which is the target's, but never the loop's patience with the store.
const storeTimeout = 10 * time.Second

// store writes the scrape, or that it failed. The error is why it failed.
func (l *loop) store(m *memory, body []byte, f exposition.Format, t int64, start time.Time, failure error) (out outcome, err error) {
	ctx, cancel := context.WithTimeout(l.ctx, storeTimeout)
	defer cancel()
	r := m.rank
	if failure != nil {
		r = known // it is little work
	}
	if err := m.turn(ctx, r); err != nil {
		return out, errors.Join(failure, err)
	}
	w := l.manager.works.Get().(*work)
	defer l.manager.works.Put(w)
	elapsed := func() float64 { return time.Since(start).Seconds() }
	fetched := failure
	if failure == nil {
		out, failure = l.sink.write(ctx, w, body, f, t, elapsed)
		if failure == nil {
			l.count(w, out)
			return out, nil
		}
	}
	if l.ctx.Err() != nil {
		return out, failure
	}
	out.bodySize = sizeReported(body, fetched)
	if err := l.sink.writeFailed(ctx, w, t, elapsed(), out); err != nil {
		failure = errors.Join(failure, fmt.Errorf("the failure was not stored: %w", err))
	}
	return out, failure
}

// sizeReported is what the report says of a failed scrape's body: its size when
// it was read whole, -1 when it was too large, otherwise 0. err is why it was
// not fetched.
func sizeReported(body []byte, err error) int {
	var limit *limitError
	var unread *typeError
	switch {
	case err == nil, errors.As(err, &unread):
		return len(body)
	case errors.As(err, &limit) && limit.what == bodySizeLimit:
		return -1
	}
	return 0
}

func (l *loop) count(w *work, out outcome) {
	m := l.manager.metrics
	m.samples.Add(float64(out.scraped))
	m.slow.Add(float64(len(w.scan.New)))
	m.duplicates.Add(float64(out.duplicate))
	m.exemplars.Add(float64(out.exemplars))
	for reason, n := range out.refused {
		m.refused.WithLabelValues(reason.String()).Add(float64(n))
	}
}

// record shows how the scrape went.
func (l *loop) record(start time.Time, took time.Duration, size int, out outcome, err error) {
	status := statusOf(err)
	l.manager.metrics.scrapes.WithLabelValues(string(status)).Inc()
	l.manager.metrics.bytes.Add(float64(size))
	text := ""
	if err != nil {
		text = err.Error()
		l.pool.failures.note(l.pool.options.Job, l.spec.url, start, err)
	}
	var before metadb.TargetStatus
	l.state.change(func(s *targetState) {
		before = s.status
		s.status, s.scraped, s.duration, s.err = status, start, took, text
		s.warning, s.samples, s.added, s.bodySize = out.warning(), out.scraped, out.added, size
		s.families = l.sink.families
	})
	if status == before {
		return
	}
	if err != nil {
		l.manager.logger.Warn("a target fails", "job", l.pool.options.Job, "target", l.spec.url, "status", status, "err", text)
	} else if before != metadb.TargetUnknown {
		l.manager.logger.Info("a target is up again", "job", l.pool.options.Job, "target", l.spec.url)
	}
}

// warning says what of a successful scrape was not stored.
func (o outcome) warning() string {
	var parts []string
	if o.duplicate > 0 {
		parts = append(parts, fmt.Sprintf("%d duplicate samples: the first of each was stored", o.duplicate))
	}
	for reason, n := range o.refused {
		parts = append(parts, fmt.Sprintf("%d samples refused: %s", n, reason))
	}
	slices.Sort(parts)
	return strings.Join(parts, "; ")
}
