package httpapi_test

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// pieces is a client that looks at how an answer comes.
type pieces struct {
	*httptest.ResponseRecorder
	sizes     []int
	deadlines []time.Time
	look      func() error
}

func (p *pieces) Write(b []byte) (int, error) {
	p.sizes = append(p.sizes, len(b))
	if err := p.look(); err != nil {
		return 0, err
	}
	return p.ResponseRecorder.Write(b)
}

func (p *pieces) SetWriteDeadline(t time.Time) error {
	p.deadlines = append(p.deadlines, t)
	return nil
}

var memoryMetric = regexp.MustCompile(`(?m)^nilometer_query_memory_bytes (.*)$`)

// queryMemory reads what queries hold, as text.
func (s *site) queryMemory() string {
	s.t.Helper()
	_, body, _ := s.do(http.MethodGet, "/metrics", "")
	m := memoryMetric.FindStringSubmatch(body)
	if m == nil {
		s.t.Fatal("no metric of queries' memory")
	}
	return m[1]
}

// TestLongAnswer: it is sent in pieces with a deadline each, and its memory is
// counted until then.
func TestLongAnswer(t *testing.T) {
	s := newSite(t, "", nil)
	const long = `/api/v1/query_range?query={__name__=~".%2B"}&start=1000&end=1360&step=0.1&stats=all`
	ask := func(look func() error) *pieces {
		p := &pieces{ResponseRecorder: httptest.NewRecorder(), look: look}
		s.handler.ServeHTTP(p, httptest.NewRequest(http.MethodGet, long, nil))
		return p
	}
	p := ask(func() error {
		if s.queryMemory() == "0" {
			t.Error("an answer that is being sent is not counted")
		}
		return nil
	})
	total := 0
	for _, n := range p.sizes {
		if total += n; n > 80<<10 {
			t.Errorf("a piece of %d bytes", n)
		}
	}
	if len(p.sizes) < 3 || total < 150_000 {
		t.Errorf("%d bytes in %d pieces", total, len(p.sizes))
	}
	if n := len(p.deadlines); n != 2*len(p.sizes) || !p.deadlines[n-1].IsZero() || p.deadlines[n-2].IsZero() {
		t.Errorf("deadlines of %d pieces: %v", len(p.sizes), p.deadlines)
	}
	var got struct {
		Data struct {
			Result []struct {
				Values []any
			}
			Stats map[string]any
		}
	}
	if err := json.NewDecoder(bytes.NewReader(p.Body.Bytes())).Decode(&got); err != nil || len(got.Data.Result) != 3 || len(got.Data.Result[0].Values) != 3600 || got.Data.Stats == nil {
		t.Errorf("%v: %d series", err, len(got.Data.Result))
	}
	if held := s.queryMemory(); held != "0" {
		t.Errorf("%s bytes are counted after the answer was sent", held)
	}

	// A client that goes away ends the encoding.
	if p := ask(func() error { return errors.New("gone") }); len(p.sizes) != 1 {
		t.Errorf("%d pieces to a client that has gone", len(p.sizes))
	}
	if held := s.queryMemory(); held != "0" {
		t.Errorf("%s bytes are counted after the client went", held)
	}
}

// TestCompressedAnswer: rows of points come compressed to those who say that
// they read it, and are the same as for the others.
func TestCompressedAnswer(t *testing.T) {
	s := newSite(t, "", nil)
	const long = `/api/v1/query_range?query={__name__=~".%2B"}&start=1000&end=1360&step=0.1`
	ask := func(method, encodings string) *httptest.ResponseRecorder {
		w := httptest.NewRecorder()
		r := httptest.NewRequest(method, long, nil)
		r.Header.Set("Accept-Encoding", encodings)
		s.handler.ServeHTTP(w, r)
		return w
	}
	plain := ask(http.MethodGet, "identity").Body.Bytes()
	for _, encodings := range []string{"gzip", "br, gzip", "gzip;q=0.5"} {
		w := ask(http.MethodGet, encodings)
		if got, vary := w.Header().Get("Content-Encoding"), w.Header().Values("Vary"); got != "gzip" || !slices.Equal(vary, []string{"Accept-Encoding"}) {
			t.Fatalf("%q: encoded as %q, varies by %q", encodings, got, vary)
		}
		size := w.Body.Len()
		z, err := gzip.NewReader(w.Body)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(z)
		if err != nil || !bytes.Equal(got, plain) {
			t.Errorf("%q: %d bytes are not the %d of a plain answer: %v", encodings, len(got), len(plain), err)
		}
		if size > len(plain)/3 {
			t.Errorf("%q: %d bytes of %d", encodings, size, len(plain))
		}
	}
	if w := ask(http.MethodGet, "gzip;q=0"); w.Header().Get("Content-Encoding") != "" || !bytes.Equal(w.Body.Bytes(), plain) {
		t.Errorf("a client that refuses gzip gets %q", w.Header().Get("Content-Encoding"))
	}
}

// TestPlainAnswer: a client on this machine gets nothing compressed, unless it
// stands for others.
func TestPlainAnswer(t *testing.T) {
	s := newSite(t, "", nil)
	for _, c := range []struct {
		remote, proto, header string
		plain                 bool
	}{
		{"127.0.0.1:4000", "HTTP/1.1", "", true},
		{"[::1]:4000", "HTTP/2.0", "", true},
		{"[::ffff:127.0.0.2]:4000", "HTTP/1.1", "", true},
		{"192.0.2.1:4000", "HTTP/1.1", "", false},
		{"127.0.0.1:4000", "HTTP/1.0", "", false},
		{"127.0.0.1:4000", "HTTP/1.1", "X-Forwarded-For", false},
		{"127.0.0.1:4000", "HTTP/1.1", "Forwarded", false},
		{"127.0.0.1:4000", "HTTP/1.1", "X-Real-IP", false},
		{"127.0.0.1:4000", "HTTP/1.1", "Via", false},
		{"a name", "HTTP/1.1", "", false},
	} {
		for _, path := range []string{
			`/api/v1/query_range?query={__name__=~".%2B"}&start=1000&end=1360&step=0.1`,
			"/api/v1/format_query?query=" + strings.Repeat("1%2B", 300) + "1",
		} {
			r := httptest.NewRequest(http.MethodGet, path, nil)
			r.RemoteAddr, r.Proto = c.remote, c.proto
			r.ProtoMajor, r.ProtoMinor, _ = http.ParseHTTPVersion(c.proto)
			r.Header.Set("Accept-Encoding", "gzip")
			if c.header != "" {
				r.Header.Set(c.header, "for=192.0.2.7")
			}
			w := httptest.NewRecorder()
			s.handler.ServeHTTP(w, r)
			if w.Body.Len() < 1000 {
				continue // too short to be compressed for anyone
			}
			if plain := w.Header().Get("Content-Encoding") == ""; plain != c.plain {
				t.Errorf("%+v: %.40s: plain is %v", c, path, plain)
			}
		}
	}
}

// TestTwoWriters: an answer is the same whether one goroutine writes it or two.
func TestTwoWriters(t *testing.T) {
	s := newSite(t, "", nil)
	var terms []string
	for i := range 23 {
		terms = append(terms, fmt.Sprintf(`label_replace(vector(time() * %d / 7), "n", "%c", "", "")`, i+1, 'a'+i))
	}
	ask := func(steps, processors int, coding string) *pieces {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		p := &pieces{ResponseRecorder: httptest.NewRecorder(), look: func() error { return nil }}
		path := fmt.Sprintf("/api/v1/query_range?query=%s&start=1000&end=%d&step=1", url.QueryEscape(strings.Join(terms, " or ")), 1000+steps)
		r := httptest.NewRequest(http.MethodGet, path, nil)
		r.Header.Set("Accept-Encoding", coding)
		s.handler.ServeHTTP(p, r)
		return p
	}
	for _, steps := range []int{150, 300, 400, 700, 1500, 3000, 5000, 7000} {
		one, two := ask(steps, 1, "identity"), ask(steps, 2, "identity")
		if !bytes.Equal(one.Body.Bytes(), two.Body.Bytes()) || !json.Valid(two.Body.Bytes()) {
			t.Errorf("%d steps: %d bytes by one goroutine, %d other ones by two", steps, one.Body.Len(), two.Body.Len())
		}
		zip, err := gzip.NewReader(ask(steps, 2, "gzip").Body)
		if err != nil {
			t.Fatal(err)
		}
		if plain, err := io.ReadAll(zip); err != nil || !bytes.Equal(plain, one.Body.Bytes()) {
			t.Errorf("%d steps, compressed: %d bytes by one goroutine, %d other ones by two, %v", steps, one.Body.Len(), len(plain), err)
		}
		for _, n := range two.sizes {
			if n > 256<<10 {
				t.Errorf("%d steps: a piece of %d bytes", steps, n)
			}
		}
	}
}

// TestTimes: times of points are those of the steps, wherever digits change.
func TestTimes(t *testing.T) {
	s := newSite(t, "", nil)
	for _, c := range []struct{ startMs, stepMs int64 }{
		{-3000, 500}, {-20_000_500, 10_000_000}, {9_998_500, 125}, {19_999_999, 1}, {1_699_999_998_000, 777}, {1_000_000_000_000, 60_000}, {123_456_789, 9_999_999},
	} {
		const steps = 9
		seconds := func(ms int64) string { return strconv.FormatFloat(float64(ms)/1000, 'f', -1, 64) }
		_, body, _ := s.do(http.MethodGet, "/api/v1/query_range?query=vector(1)&start="+seconds(c.startMs)+"&end="+seconds(c.startMs+steps*c.stepMs)+"&step="+seconds(c.stepMs), "")
		want := `"values":[`
		for i := range int64(steps) + 1 {
			if i > 0 {
				want += ","
			}
			// As Prometheus has it: three digits or none.
			ms := c.startMs + i*c.stepMs
			text := strconv.FormatFloat(float64(ms)/1000, 'f', 3, 64)
			want += "[" + strings.TrimSuffix(text, ".000") + `,"1"]`
		}
		if want += "]"; !strings.Contains(body, want) {
			t.Errorf("from %d by %d ms: %s\nwant %s", c.startMs, c.stepMs, body, want)
		}
	}
}

// TestNumbers: values are written as the standard library writes them.
func TestNumbers(t *testing.T) {
	s := newSite(t, "", nil)
	for _, v := range []float64{
		0, 1, -1, 7, 10, 100, 1e5, 1e6, 123456789, 1 << 31, 1 << 32, 1 << 53, 1<<53 + 2, 999999999999999, 1e15, 1e15 + 2, 1e16, 1e20, 1e21, 1e22, -1e15, -999999999999999,
		9.223372036854775e18, 9.223372036854776e18, 1.8446744073709552e19, 0.5, 0.1, 1.5, 1e-6, 1e-7, 5e-324, 1.7976931348623157e308, 123456789.25,
	} {
		format := byte('f')
		if abs := max(v, -v); abs != 0 && (abs < 1e-6 || abs >= 1e21) {
			format = 'e'
		}
		_, body, _ := s.do(http.MethodGet, "/api/v1/query?time=1&query="+url.QueryEscape("vector("+strconv.FormatFloat(v, 'e', -1, 64)+")"), "")
		if want := `"` + strconv.FormatFloat(v, format, -1, 64) + `"`; !strings.Contains(body, want) {
			t.Errorf("%v: %s has no %s", v, body, want)
		}
	}
	for expr, want := range map[string]string{"-0 * vector(1)": `"-0"`, "vector(1) / 0": `"+Inf"`, "vector(-1) / 0": `"-Inf"`, "vector(NaN)": `"NaN"`} {
		if _, body, _ := s.do(http.MethodGet, "/api/v1/query?time=1&query="+url.QueryEscape(expr), ""); !strings.Contains(body, want) {
			t.Errorf("%s: %s has no %s", expr, body, want)
		}
	}
}
