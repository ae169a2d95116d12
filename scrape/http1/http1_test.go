package http1_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nilometer/nilometer/scrape/http1"
)

const request = "GET /metrics HTTP/1.1\r\nHost: target\r\n\r\n"

// space gives all memory that is asked for, up to max.
type space struct{ max int }

var errFull = errors.New("no more memory")

func (s *space) Grow(p []byte, n int) ([]byte, error) {
	if len(p)+n > s.max {
		return nil, errFull
	}
	return append(make([]byte, 0, 2*len(p)+n), p...), nil
}

// ask sends one answer, in pieces of at most piece bytes, to a new connection
// that the server closes then.
func ask(t testing.TB, answer []byte, piece int) (http1.Answer, error) {
	t.Helper()
	c := http1.NewConn(func(context.Context) (net.Conn, error) { return &script{answer: answer, piece: piece}, nil })
	defer c.Close()
	return c.Get(t.Context(), []byte(request), &space{max: 1 << 20})
}

// script is a connection whose other side sends answer and closes.
type script struct {
	net.Conn
	answer []byte
	piece  int
	closed bool
}

func (s *script) Write(p []byte) (int, error) { return len(p), nil }
func (s *script) SetDeadline(time.Time) error { return nil }
func (s *script) Close() error                { s.closed = true; return nil }
func (s *script) Read(p []byte) (n int, err error) {
	if len(s.answer) == 0 {
		return 0, io.EOF
	}
	n = copy(p[:min(len(p), s.piece)], s.answer)
	s.answer = s.answer[n:]
	return n, nil
}

func TestAnswers(t *testing.T) {
	tests := map[string]struct {
		answer string
		status int
		body   string
		err    string
	}{
		"a length":              {"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nup 1", 200, "up 1", ""},
		"no body":               {"HTTP/1.1 204 No Content\r\n\r\n", 204, "", ""},
		"an empty body":         {"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", 200, "", ""},
		"no reason":             {"HTTP/1.1 503\r\nContent-Length: 0\r\n\r\n", 503, "", ""},
		"line feeds alone":      {"HTTP/1.1 200 OK\nContent-Length: 2\n\nok", 200, "ok", ""},
		"up to the end":         {"HTTP/1.0 200 OK\r\n\r\nup 1\n", 200, "up 1\n", ""},
		"chunks":                {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup \r\n00001;x=y\r\n1\r\n0\r\n\r\n", 200, "up 1", ""},
		"chunks with trailers":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\nA\r\n0123456789\r\n0\r\nA: b\r\nC: d\r\n\r\n", 200, "0123456789", ""},
		"hints before":          {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", 200, "ok", ""},
		"bytes behind":          {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more", 200, "ok", ""},
		"one length twice":      {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", 200, "ok", ""},
		"nothing":               {"", 0, "", "before an answer"},
		"half a head":           {"HTTP/1.1 200 OK\r\nContent-Le", 0, "", "in the head"},
		"a short body":          {"HTTP/1.1 200 OK\r\nContent-Length: 40\r\n\r\nup 1", 0, "", "36 bytes before the end"},
		"a short chunk":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nup 1", 0, "", "in the middle"},
		"no last chunk":         {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nup 1\r\n", 0, "", "in the middle"},
		"a long chunk":          {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nup 1\r\n0\r\n\r\n", 0, "", "does not end"},
		"a chunk without size":  {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\nup 1\r\n0\r\n\r\n", 0, "", "no size"},
		"an endless chunk size": {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffffff\r\n", 0, "", "larger than any memory"},
		"another encoding":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 0, "", "other than chunked"},
		"two lengths":           {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", 0, "", "Content-Length"},
		"a length below zero":   {"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok", 0, "", "Content-Length"},
		"a huge length":         {"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999999\r\n\r\nok", 0, "", "before the end"},
		"a folded header":       {"HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", 0, "", "second line"},
		"a line without colon":  {"HTTP/1.1 200 OK\r\nhello\r\n\r\n", 0, "", "no header"},
		"another protocol":      {"SSH-2.0-OpenSSH_9.2\r\n", 0, "", "not HTTP/1"},
		"HTTP/2":                {"HTTP/2.0 200 OK\r\n\r\n", 0, "", "not HTTP/1"},
		"a status of letters":   {"HTTP/1.1 abc OK\r\n\r\n", 0, "", "not HTTP/1"},
		"an upgrade":            {"HTTP/1.1 101 Switching Protocols\r\n\r\n", 0, "", "switches"},
		"an endless head":       {"HTTP/1.1 200 OK\r\n" + strings.Repeat("A: b\r\n", 20000), 0, "", "longer than"},
		"endless trailers":      {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: b\r\n", 20000), 0, "", "framing"},
		"more than the memory":  {"HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("x", 2<<20), 0, "", errFull.Error()},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			for _, piece := range []int{1, 2, 3, 7, 600, 1 << 20} {
				if piece < 7 && len(test.answer) > 1<<20 {
					continue
				}
				a, err := ask(t, []byte(test.answer), piece)
				if test.err != "" {
					if err == nil || !strings.Contains(err.Error(), test.err) {
						t.Fatalf("pieces of %d: error %v, want one with %q", piece, err, test.err)
					}
					continue
				}
				if err != nil || a.Status != test.status || string(a.Body) != test.body {
					t.Fatalf("pieces of %d: status %d, body %q, error %v; want %d, %q", piece, a.Status, a.Body, err, test.status, test.body)
				}
			}
		})
	}
}

func TestHeaders(t *testing.T) {
	a, err := ask(t, []byte("HTTP/1.1 302 Found it\r\nConTent-Type: \t text/plain; version=0.0.4 \r\nCONTENT-ENCODING:gzip\r\nLocation: /there\r\n"+
		"Location: /elsewhere\r\nX: y\r\nContent-Length: 1\r\n\r\n!"), 5)
	if err != nil {
		t.Fatal(err)
	}
	got := fmt.Sprintf("%d %q %q %q %q %q", a.Status, a.Reason, a.ContentType, a.ContentEncoding, a.Location, a.Body)
	if want := `302 "Found it" "text/plain; version=0.0.4" "gzip" "/there" "!"`; got != want {
		t.Errorf("answer %s, want %s", got, want)
	}
}

// TestServer: answers of net/http in all of its framings, over one connection.
func TestServer(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	var mu sync.Mutex // guards body and pieces
	var body []byte
	var pieces []int
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		rest := body
		for _, n := range pieces {
			n = min(n, len(rest))
			_, _ = w.Write(rest[:n])
			rest = rest[n:]
			w.(http.Flusher).Flush()
		}
		_, _ = w.Write(rest)
	}))
	defer server.Close()
	dialled := 0
	c := http1.NewConn(func(ctx context.Context) (net.Conn, error) {
		dialled++
		return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
	})
	defer c.Close()
	for range 300 {
		mu.Lock()
		body = make([]byte, r.IntN(50000))
		for i := range body {
			body[i] = byte(r.Uint32())
		}
		pieces = nil
		for range r.IntN(4) {
			pieces = append(pieces, r.IntN(20000))
		}
		mu.Unlock()
		a, err := c.Get(t.Context(), []byte(request), &space{max: 1 << 20})
		mu.Lock()
		if err != nil || a.Status != 200 || !bytes.Equal(a.Body, body) {
			t.Fatalf("%d bytes in pieces %v: status %d, %d bytes, error %v", len(body), pieces, a.Status, len(a.Body), err)
		}
		mu.Unlock()
	}
	if dialled != 1 {
		t.Errorf("%d connections were opened, want one", dialled)
	}
}

// TestReconnects: a connection that the server ended while it was idle is
// opened again without an error; one that ends every time is an error.
func TestReconnects(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "up 1\n") }))
	defer server.Close()
	dialled := 0
	c := http1.NewConn(func(ctx context.Context) (net.Conn, error) {
		dialled++
		return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
	})
	defer c.Close()
	for range 3 {
		if a, err := c.Get(t.Context(), []byte(request), &space{max: 1 << 20}); err != nil || string(a.Body) != "up 1\n" {
			t.Fatalf("body %q, error %v", a.Body, err)
		}
		server.CloseClientConnections()
	}
	if dialled != 3 {
		t.Errorf("%d connections were opened, want 3", dialled)
	}
	ends := http1.NewConn(func(context.Context) (net.Conn, error) { dialled++; return &script{}, nil })
	if _, err := ends.Get(t.Context(), []byte(request), &space{max: 1 << 20}); err == nil {
		t.Error("a server that only closes connections gave no error")
	}
	if dialled != 4 {
		t.Error("a new connection that ended was opened again")
	}
}

// TestKept: which connections are closed after their answer.
func TestKept(t *testing.T) {
	for _, test := range []struct {
		answer string
		kept   bool
	}{
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: a, Close\r\n\r\nok", false},
		{"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok!", false},
		{"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", false},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n.", false},
		{"HTTP/1.1 200 OK\r\n\r\nok", false},
		{"HTTP/1.1 500 No\r\nContent-Length: 50000\r\n\r\n" + strings.Repeat("x", 50000), true},
		{"HTTP/1.1 500 No\r\nContent-Length: 500000\r\n\r\n" + strings.Repeat("x", 500000), false},
		{"HTTP/1.1 500 No\r\nTransfer-Encoding: chunked\r\n\r\nfffff\r\n" + strings.Repeat("x", 500000), false},
		{"HTTP/1.1 500 No\r\n\r\n" + strings.Repeat("x", 500000), false},
		{"HTTP/1.1 304 Not Modified\r\nContent-Length: 2\r\n\r\n", true},
	} {
		s := &script{answer: []byte(test.answer), piece: 1000}
		c := http1.NewConn(func(context.Context) (net.Conn, error) { return s, nil })
		if _, err := c.Get(t.Context(), []byte(request), &space{max: 1 << 20}); err != nil {
			t.Errorf("%.100q: %v", test.answer, err)
		}
		if s.closed == test.kept {
			t.Errorf("%.100q: closed %t", test.answer, s.closed)
		}
	}
}

// TestHanging: a server that never answers costs its deadline, or less when the
// caller gives up, and no memory of the space.
func TestHanging(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	none := &space{}
	c := http1.NewConn(func(ctx context.Context) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "tcp", listener.Addr().String())
	})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.Get(ctx, []byte(request), none); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the deadline is over", err)
	}
	ctx, cancel = context.WithCancel(t.Context())
	time.AfterFunc(20*time.Millisecond, cancel)
	if _, err := c.Get(ctx, []byte(request), none); !errors.Is(err, context.Canceled) {
		t.Errorf("error %v, want that it was given up", err)
	}
}

// FuzzAnswer: what is accepted is what net/http reads, in whatever pieces it
// comes.
func FuzzAnswer(f *testing.F) {
	for _, seed := range []string{
		"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nup 1",
		"HTTP/1.0 200 OK\n\nup 1\n",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nup \r\n1;x=y\r\n1\r\n0\r\nA: b\r\n\r\n",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n..",
		"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Type: text/plain\r\n\r\n",
	} {
		f.Add([]byte(seed), uint16(3))
	}
	f.Fuzz(func(t *testing.T, answer []byte, piece uint16) {
		whole, err := ask(t, answer, len(answer)+1)
		parts, partsErr := ask(t, answer, int(piece)+1)
		if (err == nil) != (partsErr == nil) {
			t.Fatalf("whole: %v, in parts: %v", err, partsErr)
		}
		if err != nil {
			return
		}
		if whole.Status != parts.Status || !bytes.Equal(whole.Body, parts.Body) || !bytes.Equal(whole.ContentType, parts.ContentType) {
			t.Fatalf("whole %+v, in parts %+v", whole, parts)
		}
		status, body, header, err := reference(answer)
		if err != nil {
			return // net/http is stricter about what is not looked at here
		}
		if whole.Status != status || !bytes.Equal(whole.Body, body) {
			t.Fatalf("status %d, body %q; net/http has %d, %q", whole.Status, whole.Body, status, body)
		}
		if got, want := string(whole.ContentEncoding), header.Get("Content-Encoding"); got != want {
			t.Fatalf("encoding %q, net/http has %q", got, want)
		}
	})
}

func reference(answer []byte) (status int, body []byte, header http.Header, err error) {
	r := bufio.NewReader(bytes.NewReader(answer))
	for {
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			return 0, nil, nil, err
		}
		if resp.StatusCode >= 100 && resp.StatusCode < 200 {
			continue
		}
		body, err := io.ReadAll(resp.Body)
		return resp.StatusCode, body, resp.Header, err
	}
}

// again gives the same memory to every answer.
type again struct{ memory []byte }

func (a *again) Grow(p []byte, n int) ([]byte, error) {
	if len(p)+n > cap(a.memory) {
		a.memory = make([]byte, 0, 2*(len(p)+n))
	}
	return append(a.memory[:0], p...), nil
}

func BenchmarkGet(b *testing.B) {
	body := bytes.Repeat([]byte("x"), 15000)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(body) }))
	defer server.Close()
	b.Run("http1", func(b *testing.B) {
		c := http1.NewConn(func(ctx context.Context) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", server.Listener.Addr().String())
		})
		defer c.Close()
		s := &again{}
		b.ReportAllocs()
		for b.Loop() {
			if _, err := c.Get(b.Context(), []byte(request), s); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("net_http", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			resp, err := http.Get(server.URL)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, resp.Body); err != nil {
				b.Fatal(err)
			}
			resp.Body.Close()
		}
	})
}
