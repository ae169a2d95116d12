//go:build e2e

package test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"testing"
	"time"
)

// client asks a server over HTTP.
type client struct {
	t    *testing.T
	url  string
	http *http.Client
}

// try sends a request; the body is whole when there is no error.
func (c *client) try(method, path string, params url.Values, body io.Reader) (int, string, error) {
	target := c.url + path
	if len(params) > 0 {
		target += "?" + params.Encode()
	}
	req, err := http.NewRequest(method, target, body)
	if err != nil {
		return 0, "", err
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

func (c *client) get(path string, params url.Values) (int, string) {
	c.t.Helper()
	status, body, err := c.try(http.MethodGet, path, params, nil)
	if err != nil {
		c.t.Fatalf("GET %s: %v", path, err)
	}
	return status, body
}

// point is one sample as the API writes it: the value's text says its bits.
type point struct {
	t int64 // ms
	v string
}

func (p *point) UnmarshalJSON(b []byte) error {
	var pair [2]json.RawMessage
	if err := json.Unmarshal(b, &pair); err != nil {
		return err
	}
	if err := json.Unmarshal(pair[1], &p.v); err != nil {
		return err
	}
	seconds, fraction, _ := strings.Cut(string(pair[0]), ".")
	ms, err := strconv.ParseInt(seconds+(fraction + "000")[:3], 10, 64)
	p.t = ms
	return err
}

// element is one series of an answer.
type element struct {
	Metric map[string]string
	Value  point
	Values []point
}

// data decodes the data of an API answer with status 200.
func (c *client) data(path string, params url.Values, into any) {
	c.t.Helper()
	status, body := c.get(path, params)
	if status != http.StatusOK {
		c.t.Fatalf("GET %s?%s: %d: %s", path, params.Encode(), status, body)
	}
	decode(c.t, body, into)
}

func decode(t *testing.T, body string, into any) {
	t.Helper()
	var envelope struct {
		Status   string
		Data     json.RawMessage
		Warnings []string
	}
	if err := json.Unmarshal([]byte(body), &envelope); err != nil {
		t.Fatalf("decode %q: %v", body, err)
	}
	if envelope.Status != "success" || len(envelope.Warnings) > 0 {
		t.Fatalf("status %q, warnings %q", envelope.Status, envelope.Warnings)
	}
	if err := json.Unmarshal(envelope.Data, into); err != nil {
		t.Fatalf("decode %q: %v", envelope.Data, err)
	}
}

// query evaluates an instant query whose result is a vector or a matrix.
func (c *client) query(expr string) []element {
	c.t.Helper()
	var out struct{ Result []element }
	c.data("/api/v1/query", url.Values{"query": {expr}}, &out)
	return out.Result
}

// values is query for a vector, by one label.
func (c *client) values(expr, label string) map[string]string {
	c.t.Helper()
	out := map[string]string{}
	for _, e := range c.query(expr) {
		if _, twice := out[e.Metric[label]]; twice {
			c.t.Fatalf("%s: two results with %s=%q", expr, label, e.Metric[label])
		}
		out[e.Metric[label]] = e.Value.v
	}
	return out
}

// number is the single value of an expression; ok is false when there is none.
func (c *client) number(expr string) (v float64, ok bool) {
	c.t.Helper()
	result := c.query(expr)
	if len(result) == 0 {
		return 0, false
	}
	if len(result) > 1 {
		c.t.Fatalf("%s: %d results, want one", expr, len(result))
	}
	v, err := strconv.ParseFloat(result[0].Value.v, 64)
	if err != nil {
		c.t.Fatalf("%s: %v", expr, err)
	}
	return v, true
}

// metric sums what /metrics says under a name and, with it, some text of the
// labels.
func (c *client) metric(name, labels string) float64 {
	c.t.Helper()
	_, body := c.get("/metrics", nil)
	return sumMetric(c.t, body, name, labels)
}

func sumMetric(t *testing.T, exposition, name, labels string) (sum float64) {
	t.Helper()
	for line := range strings.Lines(exposition) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok || rest[0] != ' ' && rest[0] != '{' || !strings.Contains(rest, labels) {
			continue
		}
		v, err := strconv.ParseFloat(strings.TrimSpace(rest[strings.LastIndexByte(rest, ' '):]), 64)
		if err != nil {
			t.Fatalf("metric %q: %v", line, err)
		}
		sum += v
	}
	return sum
}

// push sends samples by remote write 1.0.
func (c *client) push(series ...pushed) (int, string, error) {
	req, err := http.NewRequest(http.MethodPost, c.url+"/api/v1/write", bytes.NewReader(encodeWrite(series)))
	if err != nil {
		return 0, "", err
	}
	req.Header.Set("Content-Type", "application/x-protobuf")
	req.Header.Set("Content-Encoding", "snappy")
	req.Header.Set("X-Prometheus-Remote-Write-Version", "0.1.0")
	resp, err := c.http.Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(answer), err
}

func (c *client) mustPush(series ...pushed) {
	c.t.Helper()
	status, answer, err := c.push(series...)
	if err != nil || status/100 != 2 {
		c.t.Fatalf("push: %d %s %v", status, answer, err)
	}
}

// promtool runs `promtool query kind -o json`.
func (c *client) promtool(kind string, args ...string) []element {
	c.t.Helper()
	code, stdout, stderr := execute(c.t, binary(c.t, "PROMTOOL_BIN"), append([]string{"query", kind, "-o", "json"}, args...)...)
	if code != 0 {
		c.t.Fatalf("promtool query %s %q: %d: %s", kind, args, code, stderr)
	}
	var out []element
	if err := json.Unmarshal([]byte(stdout), &out); err != nil {
		c.t.Fatalf("promtool query %s %q wrote %q: %v", kind, args, stdout, err)
	}
	return out
}

func (c *client) promtoolRange(expr string, from, to time.Time, step time.Duration) []element {
	c.t.Helper()
	unix := func(t time.Time) string { return fmt.Sprintf("%.3f", float64(t.UnixMilli())/1000) }
	return c.promtool("range", "--start="+unix(from), "--end="+unix(to), "--step="+step.String(), c.url, expr)
}
