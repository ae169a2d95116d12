//go:build e2e

package test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"
)

// pushed is one series of a remote write: a metric named name with the label
// id, and its samples.
type pushed struct {
	name, id string
	samples  []sample
}

type sample struct {
	t int64 // ms
	v float64
}

// encodeWrite encodes a prometheus.WriteRequest. It is written out here because
// generated code leaves out fields that equal 0, and -0 does.
func encodeWrite(series []pushed) []byte {
	var req []byte
	message := func(dst []byte, field protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(dst, field, protowire.BytesType), content)
	}
	for _, s := range series {
		var ts []byte
		for _, l := range [][2]string{{"__name__", s.name}, {"id", s.id}, {"instance", "pusher"}, {"job", "push"}} {
			ts = message(ts, 1, message(message(nil, 1, []byte(l[0])), 2, []byte(l[1])))
		}
		for _, p := range s.samples {
			b := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
			b = protowire.AppendFixed64(b, math.Float64bits(p.v))
			b = protowire.AppendTag(b, 2, protowire.VarintType)
			ts = message(ts, 2, protowire.AppendVarint(b, uint64(p.t)))
		}
		req = message(req, 1, ts)
	}
	return snappy.Encode(nil, req)
}

// ledger knows of every sample of a metric whether it was sent, and whether the
// server acknowledged it.
type ledger struct {
	metric string

	mu         sync.Mutex // guards what follows
	books      map[string]map[int64]entry
	unanswered [][]pushed // requests whose answer never came
}

type entry struct {
	bits         uint64
	acknowledged bool
}

func newLedger(metric string) *ledger {
	return &ledger{metric: metric, books: map[string]map[int64]entry{}}
}

func (l *ledger) note(series []pushed, acknowledged bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range series {
		book := l.books[s.id]
		if book == nil {
			book = map[int64]entry{}
			l.books[s.id] = book
		}
		for _, p := range s.samples {
			book[p.t] = entry{math.Float64bits(p.v), acknowledged}
		}
	}
}

// snapshot copies the ledger as it is now.
func (l *ledger) snapshot() (books map[string]map[int64]entry, acknowledged int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	books = map[string]map[int64]entry{}
	for id, book := range l.books {
		books[id] = make(map[int64]entry, len(book))
		for t, e := range book {
			books[id][t] = e
			if e.acknowledged {
				acknowledged++
			}
		}
	}
	return books, acknowledged
}

// verify reads every sample of the metric and compares: what was acknowledged
// before the query began is there bit for bit, nothing is there twice, and
// nothing that was never sent. It returns the number of samples it saw.
func (l *ledger) verify(t *testing.T, c *client) int {
	t.Helper()
	before, _ := l.snapshot()
	// Asked from the future: a fast sender's clock may be ahead of the server's.
	result := c.query(l.metric + "[2h] offset -1m")
	sent, _ := l.snapshot()
	found := map[string]map[int64]uint64{}
	seen := 0
	for _, e := range result {
		id := e.Metric["id"]
		if found[id] != nil {
			t.Fatalf("%s{id=%q}: the series is there twice", l.metric, id)
		}
		found[id] = map[int64]uint64{}
		last := int64(math.MinInt64)
		for _, p := range e.Values {
			if p.t <= last {
				t.Fatalf("%s{id=%q}: %d after %d", l.metric, id, p.t, last)
			}
			last = p.t
			v, err := strconv.ParseFloat(p.v, 64)
			if err != nil {
				t.Fatal(err)
			}
			if want, ok := sent[id][p.t]; !ok || want.bits != math.Float64bits(v) {
				t.Fatalf("%s{id=%q} at %d: got %s (%x), sent %x (%t)", l.metric, id, p.t, p.v, math.Float64bits(v), want.bits, ok)
			}
			found[id][p.t] = math.Float64bits(v)
			seen++
		}
	}
	var missing []string
	for id, book := range before {
		for at, e := range book {
			if _, ok := found[id][at]; e.acknowledged && !ok {
				missing = append(missing, fmt.Sprintf("%s at %d", id, at))
			}
		}
	}
	if len(missing) > 0 {
		t.Fatalf("%s: %d acknowledged samples are missing of %d seen: %.10s", l.metric, len(missing), seen, missing)
	}
	return seen
}

// mustPush pushes and notes series that the server must take.
func (l *ledger) mustPush(c *client, series ...pushed) {
	c.t.Helper()
	l.note(series, false)
	c.mustPush(series...)
	l.note(series, true)
}

// again sends the requests once more whose answer never came, as senders do: the
// server may have them, or not. It returns how many were acknowledged now.
func (l *ledger) again(c client) (n int) {
	l.mu.Lock()
	all := l.unanswered
	l.unanswered = nil
	l.mu.Unlock()
	for _, series := range all {
		if status, _, err := c.push(series...); err == nil && status/100 == 2 {
			l.note(series, true)
			n++
		}
	}
	return n
}

// pushUntil pushes samples of a worker's own series, as fast as they are
// answered, until an answer fails or stop is closed. Values have all shapes
// that a float can have.
func (l *ledger) pushUntil(stop <-chan struct{}, c client, worker string, seed uint64, pause time.Duration) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	last := int64(0)
	for n := 0; ; n++ {
		select {
		case <-stop:
			return
		case <-time.After(pause):
		}
		now := max(time.Now().UnixMilli(), last+1) // a series has one sample a millisecond
		last = now
		var series []pushed
		for k := range 1 + rnd.IntN(8) {
			series = append(series, pushed{l.metric, worker + "-" + strconv.Itoa(k), []sample{{now, shape(rnd, n)}}})
		}
		if rnd.IntN(10) == 0 { // a new series now and then
			series = append(series, pushed{l.metric, worker + "-new-" + strconv.FormatInt(now, 10), []sample{{now - 1, 1}, {now, 2}}})
		}
		l.note(series, false)
		status, _, err := c.push(series...)
		if err != nil || status/100 != 2 {
			l.mu.Lock()
			l.unanswered = append(l.unanswered, series)
			l.mu.Unlock()
			return // the server was killed: these stay unacknowledged
		}
		l.note(series, true)
	}
}

// shape is a value of one of the kinds that encodings treat apart.
func shape(rnd *rand.Rand, n int) float64 {
	switch rnd.IntN(7) {
	case 0:
		return math.Inf(1 - 2*rnd.IntN(2))
	case 1:
		return math.Copysign(0, -1)
	case 2:
		return math.Float64frombits(rnd.Uint64() &^ (1 << 62)) // finite
	case 3:
		return rnd.NormFloat64()
	case 4:
		return math.SmallestNonzeroFloat64 * float64(rnd.IntN(1000))
	}
	return float64(n)
}
