package sender_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.uber.org/goleak"

	"github.com/nilometer/nilometer/alerting"
	"github.com/nilometer/nilometer/alerting/sender"
	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/discovery/file"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// receiver answers as the API of an Alertmanager does.
type receiver struct {
	*httptest.Server
	mu     sync.Mutex // guards what follows
	got    []string   // alerts, by path and labels
	status int
}

func newReceiver(t *testing.T) *receiver {
	r := &receiver{status: http.StatusOK}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var alerts []struct {
			Labels, Annotations map[string]string
			StartsAt, EndsAt    time.Time
			GeneratorURL        string
		}
		if err := json.NewDecoder(q.Body).Decode(&alerts); err != nil || q.Method != http.MethodPost || q.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", q.Method, q.Header, err)
		}
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.status == http.StatusOK {
			for _, a := range alerts {
				if a.Annotations["summary"] != "s" || a.StartsAt.Unix() != 1000 || a.EndsAt.Unix() != 2000 || a.GeneratorURL != "http://here/graph" {
					t.Errorf("%+v", a)
				}
				r.got = append(r.got, q.URL.Path+labels.FromMap(a.Labels).String())
			}
		}
		w.WriteHeader(r.status)
	}))
	t.Cleanup(r.Close)
	return r
}

func (r *receiver) address() string { return strings.TrimPrefix(r.URL, "http://") }

func (r *receiver) answer(status int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.status = status
}

func (r *receiver) seen() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return strings.Join(r.got, " ")
}

func alert(name string) alerting.Alert {
	return alerting.Alert{
		Labels: labels.FromStrings("alertname", name), Annotations: labels.FromStrings("summary", "s"),
		StartsAt: time.Unix(1000, 0), EndsAt: time.Unix(2000, 0), GeneratorURL: "http://here/graph",
	}
}

func group(addresses ...string) sender.Group {
	return sender.Group{
		Discovery: discovery.Options{Static: []discovery.Group{discovery.StaticGroup(addresses, labels.EmptyLabels())}},
		Scheme:    "http", Timeout: 5 * time.Second, HTTPClient: commonconfig.DefaultHTTPClientConfig,
	}
}

type running struct {
	*sender.Sender
	t    *testing.T
	reg  *prometheus.Registry
	stop func()
}

func start(t *testing.T, o sender.Options) *running {
	t.Helper()
	reg := prometheus.NewRegistry()
	s, err := sender.New(sender.Deps{Logger: slog.New(slog.DiscardHandler), Registerer: reg, UserAgent: "test"})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop := sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return &running{s, t, reg, stop}
}

func (r *running) dropped(reason string, want int) {
	r.t.Helper()
	text := "# HELP nilometer_alerting_dropped_total Alerts for Alertmanagers outside that were lost, by reason.\n# TYPE nilometer_alerting_dropped_total counter\n"
	for _, known := range []string{"end", "gone", "no_alertmanager", "queue_full", "refused"} {
		n := 0
		if known == reason {
			n = want
		}
		text += fmt.Sprintf("nilometer_alerting_dropped_total{reason=%q} %d\n", known, n)
	}
	eventually(r.t, text, func() bool {
		return testutil.GatherAndCompare(r.reg, strings.NewReader(text), "nilometer_alerting_dropped_total") == nil
	})
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	for limit := time.Now().Add(20 * time.Second); !done(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(limit) {
			t.Fatalf("never: %s", what)
		}
	}
}

// TestSend: what an Alertmanager gets, after labels and rules of all and of its
// group.
func TestSend(t *testing.T) {
	one, two := newReceiver(t), newReceiver(t)
	drop := &relabel.Config{Action: relabel.Drop, Separator: ";", SourceLabels: []model.LabelName{"alertname"}, Regex: relabel.MustNewRegexp("b"), NameValidationScheme: model.UTF8Validation}
	team := &relabel.Config{Action: relabel.Replace, Separator: ";", Regex: relabel.MustNewRegexp("(.*)"), TargetLabel: "team", Replacement: "x", NameValidationScheme: model.UTF8Validation}
	path := &relabel.Config{Action: relabel.Replace, Separator: ";", Regex: relabel.MustNewRegexp("(.*)"), TargetLabel: "__alerts_path__", Replacement: "/elsewhere", NameValidationScheme: model.UTF8Validation}
	first, second := group(one.address(), one.address()), group(two.address())
	first.PathPrefix, first.AlertRelabel = "am/", []*relabel.Config{drop}
	second.Relabel = []*relabel.Config{path}
	s := start(t, sender.Options{
		ExternalLabels: labels.FromStrings("alertname", "external", "dc", "eu"), AlertRelabel: []*relabel.Config{team}, Groups: []sender.Group{first, second},
	})
	s.Put([]alerting.Alert{alert("a"), alert("b")})
	const a, b = `{alertname="a", dc="eu", team="x"}`, `{alertname="b", dc="eu", team="x"}`
	eventually(t, "alerts at the first", func() bool { return one.seen() == "/am/api/v2/alerts"+a })
	eventually(t, "alerts at the second", func() bool { return two.seen() == "/elsewhere"+a+" /elsewhere"+b })
	if got := s.Endpoints(); len(got) != 2 || !slices.Contains(got, one.URL+"/am/api/v2/alerts") {
		t.Error(got)
	}
	s.dropped("", 0)
}

// TestFailures: one that fails gets everything later, in order; one that refuses
// loses the batch; neither delays another.
func TestFailures(t *testing.T) {
	failing, refusing, good := newReceiver(t), newReceiver(t), newReceiver(t)
	failing.answer(http.StatusServiceUnavailable)
	refusing.answer(http.StatusBadRequest)
	s := start(t, sender.Options{Groups: []sender.Group{group(failing.address(), refusing.address(), good.address())}})
	const a, b = `/api/v2/alerts{alertname="a"}`, `/api/v2/alerts{alertname="b"}`
	s.Put([]alerting.Alert{alert("a")})
	eventually(t, "an alert", func() bool { return good.seen() == a })
	s.dropped("refused", 1)
	refusing.answer(http.StatusOK)
	s.Put([]alerting.Alert{alert("b")})
	eventually(t, "the next alert", func() bool { return good.seen() == a+" "+b && refusing.seen() == b })
	failing.answer(http.StatusOK)
	eventually(t, "both alerts, later", func() bool { return failing.seen() == a+" "+b })
}

// TestQueue: the oldest of too many alerts go; the end sends what waits.
func TestQueue(t *testing.T) {
	r := newReceiver(t)
	r.answer(http.StatusServiceUnavailable)
	s := start(t, sender.Options{Groups: []sender.Group{group(r.address())}})
	s.Put([]alerting.Alert{alert("first")})
	eventually(t, "a failure", func() bool {
		n, err := testutil.GatherAndCount(s.reg, "nilometer_alerting_send_failures_total")
		return err == nil && n == 1 && strings.Contains(gathered(t, s.reg), "nilometer_alerting_send_failures_total 1")
	})
	many := make([]alerting.Alert, 10_003)
	for i := range many {
		many[i] = alert(fmt.Sprint(i))
	}
	s.Put(many)
	s.dropped("queue_full", 3)
	r.answer(http.StatusOK)
	s.stop()
	all := strings.Split(r.seen(), " ")
	if len(all) != 10_001 || !strings.Contains(all[0], "first") || !strings.Contains(all[1], `"3"`) || !strings.Contains(all[10_000], `"10002"`) {
		t.Errorf("%d alerts, %s", len(all), all[0])
	}
}

// gathered are the metrics as text.
func gathered(t *testing.T, reg *prometheus.Registry) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	for _, f := range families {
		if c := f.GetMetric()[0].GetCounter(); c != nil {
			fmt.Fprintf(&out, "%s %v\n", f.GetName(), c.GetValue())
		}
	}
	return out.String()
}

// TestChanges: Alertmanagers come and go by discovery and by reload; what waits
// for one that stays is not lost.
func TestChanges(t *testing.T) {
	one, two := newReceiver(t), newReceiver(t)
	list := filepath.Join(t.TempDir(), "am.yml")
	write := func(addresses ...string) {
		if err := os.WriteFile(list+".new", []byte("- targets: ["+strings.Join(addresses, ", ")+"]\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(list+".new", list); err != nil {
			t.Fatal(err)
		}
	}
	write(one.address())
	found := group()
	found.Discovery = discovery.Options{File: []file.Options{{Files: []string{list}, RefreshInterval: time.Second}}}
	s := start(t, sender.Options{})
	s.Put([]alerting.Alert{alert("nobody")}) // is not configured: nothing is lost
	if err := s.Apply(sender.Options{Groups: []sender.Group{found}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the first", func() bool { return slices.Equal(s.Endpoints(), []string{one.URL + "/api/v2/alerts"}) })
	write(two.address())
	eventually(t, "the second", func() bool { return slices.Equal(s.Endpoints(), []string{two.URL + "/api/v2/alerts"}) })
	two.answer(http.StatusServiceUnavailable)
	s.Put([]alerting.Alert{alert("a")})
	eventually(t, "a failure", func() bool { return strings.Contains(gathered(t, s.reg), "nilometer_alerting_send_failures_total 1") })
	s.Put([]alerting.Alert{alert("b")})
	two.answer(http.StatusOK)
	static := group(two.address())
	if err := s.Apply(sender.Options{Groups: []sender.Group{static}}); err != nil {
		t.Fatal(err)
	}
	eventually(t, "what waited", func() bool { return strings.Contains(two.seen(), `alertname="b"`) })
	write() // nobody looks any more
	static.Discovery.Static = nil
	if err := s.Apply(sender.Options{Groups: []sender.Group{static}}); err != nil {
		t.Fatal(err)
	}
	before := one.seen()
	s.Put([]alerting.Alert{alert("c")})
	eventually(t, "a loss that is counted", func() bool { return strings.Contains(gatheredLabel(t, s.reg, "no_alertmanager"), "1") })
	if one.seen() != before {
		t.Error(one.seen())
	}
	bad := group(two.address())
	bad.HTTPClient.TLSConfig.CAFile = filepath.Join(t.TempDir(), "missing.pem")
	if err := s.Apply(sender.Options{Groups: []sender.Group{bad}}); err == nil || !strings.Contains(err.Error(), "alerting.alertmanagers[0]") {
		t.Error(err)
	}
}

// TestReloadKeepsBatch: what is on its way, and what waits, when the options
// change is sent once, in order, through the new options' client.
func TestReloadKeepsBatch(t *testing.T) {
	r, list := newReceiver(t), filepath.Join(t.TempDir(), "am.yml")
	r.answer(http.StatusServiceUnavailable)
	o := sender.Options{Groups: []sender.Group{group(r.address())}}
	s := start(t, o)
	s.Put([]alerting.Alert{alert("a")})
	eventually(t, "a failure", func() bool { return strings.Contains(gathered(t, s.reg), "nilometer_alerting_send_failures_total 1") })
	s.Put([]alerting.Alert{alert("b")})
	o.ExternalLabels = labels.FromStrings("dc", "eu")
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	// A discovery that begins anew has not found it yet.
	o.Groups = []sender.Group{group()}
	o.Groups[0].Discovery = discovery.Options{File: []file.Options{{Files: []string{list}, RefreshInterval: time.Second}}}
	if err := s.Apply(o); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(list, []byte("- targets: ["+r.address()+"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "it is found", func() bool { return len(s.Endpoints()) == 1 })
	s.Put([]alerting.Alert{alert("c")})
	r.answer(http.StatusOK)
	const want = `/api/v2/alerts{alertname="a"} /api/v2/alerts{alertname="b"} /api/v2/alerts{alertname="c", dc="eu"}`
	eventually(t, "all of it", func() bool { return len(r.seen()) >= len(want) })
	if r.seen() != want {
		t.Errorf("sent %s, want %s", r.seen(), want)
	}
	s.dropped("", 0)
}

func gatheredLabel(t *testing.T, reg *prometheus.Registry, reason string) string {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if len(m.GetLabel()) == 1 && m.GetLabel()[0].GetValue() == reason {
				return fmt.Sprint(m.GetCounter().GetValue())
			}
		}
	}
	return ""
}
