package scrape_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/value"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb"
)

// hostile is a server below HTTP: it answers the first request as it should,
// and on each that follows does say with the connection, and closes it.
type hostile struct {
	first string
	say   func(net.Conn)
	seen  atomic.Int64 // requests
}

func (h *hostile) start(t *testing.T) (address string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	go func() { // ends with Close
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { _ = c.Close() })
			go h.serve(c)
		}
	}()
	return l.Addr().String()
}

func (h *hostile) serve(c net.Conn) {
	defer c.Close()
	r := bufio.NewReader(c)
	for {
		if _, err := http.ReadRequest(r); err != nil {
			return
		}
		if h.seen.Add(1) > 1 {
			h.say(c)
			return
		}
		if _, err := io.WriteString(c, h.first); err != nil {
			return
		}
	}
}

// headed is the head of an answer, with more fields.
func headed(fields ...string) string {
	return "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n" + strings.Join(append(fields, ""), "\r\n") + "\r\n"
}

// sized is a whole answer with a type and the body's length.
func sized(contentType, body string) string {
	return fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n%s", contentType, len(body), body)
}

func text(body string) string { return sized("text/plain", body) }

// says sends the bytes.
func says(all string) func(net.Conn) {
	return func(c net.Conn) { _, _ = io.WriteString(c, all) }
}

// drips sends head, and then the bytes of again for as long as they are taken.
func drips(head, again string, pause time.Duration) func(net.Conn) {
	return func(c net.Conn) {
		_, err := io.WriteString(c, head)
		for err == nil {
			time.Sleep(pause)
			_, err = io.WriteString(c, again)
		}
	}
}

// turning is a target that is good once and then hostile, in a pool of its own.
type turning struct {
	name string
	say  func(net.Conn)
	want metadb.TargetStatus
	// says is in the error, or in the warning of a target that is up.
	says string
	// other, when not empty, is what it says where net/http asks the target.
	other string
	// change, when not nil, sets the pool's options.
	change func(*scrape.PoolOptions)
	// stored, when not nil, are the lines of what is stored of the target beside
	// up and good, in their order, as far as two bad scrapes go.
	stored []string
}

// hostiles is a manager that scraped such targets into a database.
type hostiles struct {
	*scrape.Manager
	t        *testing.T
	db       *tsdb.DB
	registry *prometheus.Registry
	stop     func() // the scraping
}

func newHostiles(t *testing.T) *hostiles {
	t.Helper()
	h := &hostiles{t: t, registry: prometheus.NewRegistry()}
	admitter, err := limits.New(limits.Options{}, limits.Deps{})
	if err != nil {
		t.Fatal(err)
	}
	if h.db, err = tsdb.Open(t.Context(), tsdb.Options{}, tsdb.Deps{Dir: t.TempDir(), Admitter: admitter}); err != nil {
		t.Fatal(err)
	}
	if h.Manager, err = scrape.NewManager(scrape.Deps{Writer: h.db, Registerer: h.registry}); err != nil {
		t.Fatal(err)
	}
	run := func(what string, do func(context.Context) error) (stop func()) {
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- do(ctx) }()
		return sync.OnceFunc(func() {
			cancel()
			if err := <-done; err != nil && !errors.Is(err, context.Canceled) {
				t.Errorf("the %s ended with %v", what, err)
			}
		})
	}
	stopDB := run("database", h.db.Run)
	h.stop = run("manager", h.Run)
	t.Cleanup(func() {
		h.stop()
		stopDB()
		if err := h.db.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return h
}

// turnAll scrapes the targets every second until each has the status and says
// what it should. The scrapes have ended then.
func turnAll(t *testing.T, all []turning) *hostiles {
	t.Helper()
	h := newHostiles(t)
	var pools []scrape.PoolOptions
	servers := map[string]*hostile{}
	for _, c := range all {
		servers[c.name] = &hostile{first: text("good 1\n"), say: c.say}
		o := scrape.PoolOptions{
			Job: c.name, Interval: time.Second,
			Discovery: discovery.Options{Static: []discovery.Group{
				discovery.StaticGroup([]string{servers[c.name].start(t)}, labels.FromStrings("instance", c.name, "job", "j")),
			}},
		}
		if c.change != nil {
			c.change(&o)
		}
		pools = append(pools, o)
	}
	if err := h.Apply(pools); err != nil {
		t.Fatal(err)
	}
	limit := time.Now().Add(20 * time.Second) // it only ends a test that hangs
	for _, c := range all {
		var last scrape.Target
		for ; ; time.Sleep(5 * time.Millisecond) {
			last = h.target(c.name)
			turned := servers[c.name].seen.Load() > 1 && (last.Status != metadb.TargetUp || last.LastSamples != 1)
			if turned && last.Status == c.want && strings.Contains(last.LastError+last.LastWarning, c.says) {
				break
			}
			if time.Now().After(limit) {
				t.Errorf("%s: it is %s with %q and %q, want %s with %q", c.name, last.Status, last.LastError, last.LastWarning, c.want, c.says)
				break
			}
		}
	}
	h.stop()
	return h
}

// target is the only one of a pool; zero before it is found.
func (h *hostiles) target(pool string) scrape.Target {
	for _, target := range h.Targets().Active {
		if target.Pool == pool {
			return target
		}
	}
	return scrape.Target{}
}

// stored shows what there is of a target: name and labels beside job and
// instance, and the values, S for a stale marker.
func (h *hostiles) stored(pool string, ms ...*labels.Matcher) (lines []string) {
	h.t.Helper()
	all, err := storagetest.ReadAll(h.t.Context(), h.db, tenant.Default,
		append(ms, labels.MustNewMatcher(labels.MatchEqual, "instance", pool))...)
	if err != nil {
		h.t.Fatal(err)
	}
	for _, s := range all {
		if strings.HasPrefix(s.Labels.Get("__name__"), "scrape_") && len(ms) == 0 {
			continue
		}
		line := labels.NewBuilder(s.Labels).Del("instance", "job").Labels().String()
		for _, x := range s.Samples {
			if value.IsStaleNaN(x.V) {
				line += " S"
			} else {
				line += fmt.Sprint(" ", x.V)
			}
		}
		lines = append(lines, line)
	}
	return lines
}

// unharmed checks that of the target the good scrape is as it was, and nothing
// else but that it failed then.
func (h *hostiles) unharmed(t *testing.T, pool string) {
	t.Helper()
	got := h.stored(pool)
	if len(got) != 2 || got[0] != `{__name__="good"} 1 S` || !strings.HasPrefix(got[1], `{__name__="up"} 1 0`) {
		t.Errorf("stored:\n%s", strings.Join(got, "\n"))
	}
}

// failing scrapes targets all of whose bad answers fail, and checks that each is
// counted and harmed nothing.
func failing(t *testing.T, all []turning) {
	t.Helper()
	h := turnAll(t, all)
	ended := map[metadb.TargetStatus]float64{}
	for _, c := range all {
		ended[c.want]++
		t.Run(c.name, func(t *testing.T) { h.unharmed(t, c.name) })
	}
	for status, least := range ended {
		if got := h.counter("nilometer_scrape_scrapes_total", string(status)); got < least {
			t.Errorf("%v scrapes are counted as %s, want %v or more", got, status, least)
		}
	}
}

// counter is a counter's value, by one of its labels' values where it has some.
func (h *hostiles) counter(metric, label string) float64 {
	h.t.Helper()
	all, err := h.registry.Gather()
	if err != nil {
		h.t.Fatal(err)
	}
	for _, f := range all {
		for _, m := range f.Metric {
			if f.GetName() == metric && (label == "" || m.Label[0].GetValue() == label) {
				return m.GetCounter().GetValue()
			}
		}
	}
	h.t.Errorf("there is no %s{%s}", metric, label)
	return 0
}
