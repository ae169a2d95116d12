package scrape_test

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
	commonconfig "github.com/prometheus/common/config"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/discovery"
	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/scrape"
	"github.com/nilometer/nilometer/storage/storagetest"
)

// zipped compresses with gzip.
func zipped(body []byte) []byte {
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	_, _ = w.Write(body)
	_ = w.Close()
	return b.Bytes()
}

func zstandard(body []byte) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll(body, nil)
}

// encoded is an answer in an encoding.
func encoded(encoding string, body []byte) func(net.Conn) {
	return says(headed("Content-Encoding: "+encoding, fmt.Sprint("Content-Length: ", len(body))) + string(body))
}

const evil = "evil 1\n"

// TestHostileAnswers: what a target can do to HTTP ends one scrape, with a
// status and a reason, and harms nothing that is stored.
//
// Targets with credentials are asked by another client (net/http).
func TestHostileAnswers(t *testing.T) {
	all := hostileAnswers()
	for _, c := range hostileAnswers() {
		change := c.change
		c.name, c.says = c.name+", with credentials", cmp.Or(c.other, c.says)
		c.change = func(o *scrape.PoolOptions) {
			if change != nil {
				change(o)
			}
			client := commonconfig.DefaultHTTPClientConfig
			client.BasicAuth = &commonconfig.BasicAuth{Username: "u", Password: "p"}
			o.HTTPClient = &client
		}
		all = append(all, c)
	}
	failing(t, all)
}

// smallBodies bounds bodies to what comes over a loopback within a moment.
func smallBodies(o *scrape.PoolOptions) { o.BodySizeMax = 1 << 20 }

func hostileAnswers() []turning {
	return []turning{
		{name: "closes without an answer", say: says(""), want: metadb.TargetDown, says: "EOF"},
		{name: "no HTTP", say: says("SSH-2.0-OpenSSH_9.9\r\n"), want: metadb.TargetDown, says: "the answer is not HTTP/1", other: "malformed HTTP"},
		{name: "body cut short of its length", say: says(headed("Content-Length: 100") + evil), want: metadb.TargetDown, says: "unexpected EOF"},
		{name: "chunked body cut short", say: says(headed("Transfer-Encoding: chunked") + "7\r\n" + evil + "\r\n"), want: metadb.TargetDown, says: "unexpected EOF"},
		{name: "chunk without a length", say: says(headed("Transfer-Encoding: chunked") + "x\r\n" + evil), want: metadb.TargetDown, says: "chunk"},
		{name: "chunk longer than is possible", say: says(headed("Transfer-Encoding: chunked") + strings.Repeat("F", 17) + "\r\n" + evil), want: metadb.TargetDown, says: "chunk"},
		{name: "chunk with an endless extension", say: drips(headed("Transfer-Encoding: chunked")+"1;", strings.Repeat("x", 4096), 0), want: metadb.TargetDown, says: "65536 bytes of extensions", other: "line too long"},
		{name: "negative length", say: says(headed("Content-Length: -5") + evil), want: metadb.TargetDown, says: "Content-Length"},
		{name: "two lengths", say: says(headed("Content-Length: 7", "Content-Length: 8") + evil), want: metadb.TargetDown, says: "Content-Length"},
		{name: "unknown transfer encoding", say: says(headed("Transfer-Encoding: rot13") + evil), want: metadb.TargetDown, says: "Transfer-Encoding", other: "transfer encoding"},
		{name: "endless head", say: drips("HTTP/1.1 200 OK\r\n", strings.Repeat("X-More: "+strings.Repeat("x", 4096)+"\r\n", 16), 0), want: metadb.TargetDown, says: "the head of the answer is longer than 65536 bytes", other: "response headers exceeded"},
		{name: "endless interim answers", say: drips("", "HTTP/1.1 103 Early Hints\r\nLink: </"+strings.Repeat("x", 32<<10)+">\r\n\r\n", 0), want: metadb.TargetDown, says: "the head of the answer is longer than 65536 bytes", other: "response headers exceeded"},
		{name: "silent", say: drips("", "", 20*time.Millisecond), want: metadb.TargetTimeout, says: "no whole answer within 950ms"},
		{name: "slow head", say: drips("HTTP/1.1 200 OK\r\nX-Slow: ", "x", 20*time.Millisecond), want: metadb.TargetTimeout, says: "no whole answer within 950ms"},
		{name: "slow body", say: drips(headed("Content-Length: 1000000")+evil, "x", 20*time.Millisecond), want: metadb.TargetTimeout, says: "no whole answer within 950ms"},
		{name: "switches protocols", say: says("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n" + evil), want: metadb.TargetDown, says: "a protocol that was not asked for", other: "101 Switching Protocols"},
		{name: "204", say: says("HTTP/1.1 204 No Content\r\n\r\n"), want: metadb.TargetDown, says: "204 No Content"},
		{name: "206", say: says("HTTP/1.1 206 Partial Content\r\nContent-Type: text/plain\r\nContent-Length: 7\r\n\r\n" + evil), want: metadb.TargetDown, says: "206 Partial Content"},
		{name: "304", say: says("HTTP/1.1 304 Not Modified\r\n\r\n"), want: metadb.TargetDown, says: "304 Not Modified"},
		{name: "500 with an endless body", say: drips("HTTP/1.1 500 Oops\r\nContent-Type: text/plain\r\n\r\n", strings.Repeat(evil, 1000), 0), want: metadb.TargetDown, says: "500 Oops"},
		{name: "503", say: says("HTTP/1.1 503 Service Unavailable\r\nContent-Length: 7\r\n\r\n" + evil), want: metadb.TargetDown, says: "503"},
		{name: "redirect to itself", say: says("HTTP/1.1 302 Found\r\nLocation: /metrics\r\nContent-Length: 0\r\n\r\n"), want: metadb.TargetDown, says: "10 redirects"},
		{name: "redirect to a file", say: says("HTTP/1.1 302 Found\r\nLocation: file:///etc/passwd\r\nContent-Length: 0\r\n\r\n"), want: metadb.TargetDown, says: "unsupported protocol scheme"},
		{name: "redirect to nowhere", say: says("HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"), want: metadb.TargetDown, says: "302"},
		{name: "gzip with a wrong checksum", say: encoded("gzip", flip(zipped([]byte(evil)), -8)), want: metadb.TargetDown, says: "checksum"},
		{name: "gzip with an endless name", say: drips(headed("Content-Encoding: gzip")+"\x1f\x8b\x08\x08\x00\x00\x00\x00\x00\x00", strings.Repeat("x", 4096), 0), want: metadb.TargetOverlimit, says: "body_size_limit", change: smallBodies},
		{name: "garbage behind gzip", say: encoded("gzip", append(zipped([]byte(evil)), "garbage behind"...)), want: metadb.TargetDown, says: "this is not gzip"},
		{name: "garbage behind zstd", say: encoded("zstd", append(zstandard([]byte(evil)), "garbage behind"...)), want: metadb.TargetDown, says: "magic number mismatch"},
		{name: "zstd with a window of 1 GiB", say: encoded("zstd", []byte("\x28\xb5\x2f\xfd\x00\xa0\x01\x00\x00")), want: metadb.TargetDown, says: "window size"},
		{name: "compressed twice", say: encoded("gzip, gzip", zipped(zipped([]byte(evil)))), want: metadb.TargetDown, says: "not asked for"},
	}
}

// flip changes a byte, counted from the end when at is negative.
func flip(b []byte, at int) []byte {
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	return b
}

// TestOddAnswers: unusual answers that are whole are taken.
func TestOddAnswers(t *testing.T) {
	all := oddAnswers()
	h := turnAll(t, all)
	for _, c := range all {
		got := strings.Join(h.stored(c.name), "\n")
		if !strings.Contains(got, `{__name__="odd"} 1`) || !strings.Contains(got, `{__name__="odder"} 2`) || strings.Contains(got, "evil") {
			t.Errorf("%s: stored:\n%s", c.name, got)
		}
	}
}

func oddAnswers() []turning {
	const body = "odd 1\nodder 2\n"
	all := []turning{
		{name: "gzip of several members", say: encoded("gzip", append(zipped([]byte(body[:6])), zipped([]byte(body[6:]))...))},
		{name: "zstd of several frames", say: encoded("zstd", append(zstandard([]byte(body[:6])), zstandard([]byte(body[6:]))...))},
		{name: "interim answer", say: says("HTTP/1.1 100 Continue\r\n\r\n" + text(body))},
		{name: "HTTP/1.0", say: says("HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n" + body)},
		{name: "bytes behind the length", say: says(text(body) + evil)},
		{name: "a second answer", say: says(text(body) + text(evil))},
	}
	for i := range all {
		all[i].want = metadb.TargetUp
	}
	return all
}

// TestAnswersInAdvance: a target that sends a second answer on a connection that
// is kept does not answer the next scrape with it.
func TestAnswersInAdvance(t *testing.T) {
	t.Parallel()
	h := &hostile{first: text("good 1\n") + text(evil), say: says(text("good 2\nmore 1\n"))}
	o := scrape.PoolOptions{
		Job: "w", Interval: 100 * time.Millisecond,
		Discovery: discovery.Options{Static: []discovery.Group{
			discovery.StaticGroup([]string{h.start(t)}, labels.FromStrings("instance", "a:1", "job", "j")),
		}},
	}
	b := start(t, storagetest.MemoryOptions{}, nil)
	b.apply(o)
	wait(t, "three scrapes", func() bool { return h.seen.Load() > 3 })
	b.stop()
	if got := b.dump(time.Time{}); strings.Contains(got, "evil") || !strings.Contains(got, name("more")) {
		t.Errorf("stored:\n%s", got)
	}
}

// TestBombs: bodies of 1 GB, as they are or inflated, end at the limit, and what
// is allocated for them is a small multiple of it.
func TestBombs(t *testing.T) {
	all := bombs()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	h := turnAll(t, all)
	runtime.ReadMemStats(&after)
	// The growth of a buffer adds up to five times the limit, a zstd decoder to 12
	// MiB; twice, should a second scrape have begun, and 16 MiB for the database.
	if taken := after.TotalAlloc - before.TotalAlloc; taken > 4*2*(5*bombLimit+12<<20)+16<<20 {
		t.Errorf("%d MiB were allocated", taken>>20)
	}
	if n := h.counter("nilometer_scrape_scrapes_total", "OVERLIMIT"); n < 4 {
		t.Errorf("%v scrapes over the limit are counted", n)
	}
	for _, c := range all {
		h.unharmed(t, c.name)
		size := h.stored(c.name, labels.MustNewMatcher(labels.MatchEqual, "__name__", "scrape_body_size_bytes"))
		if len(size) != 1 || !strings.Contains(size[0], " 7 -1") {
			t.Errorf("%s: sizes %q", c.name, size)
		}
	}
}

// bombLimit is the limit of bodies (bytes) of targets that send 1 GB.
const bombLimit = 4 << 20

func bombs() (all []turning) {
	const whole, part = 1 << 30, 16 << 20
	lines := bytes.Repeat([]byte("# "+strings.Repeat("x", 61)+"\n"), part/64)
	times := func(b []byte) func(net.Conn) {
		return func(c net.Conn) {
			for range whole / part {
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}
	}
	with := func(head string, rest func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			if _, err := io.WriteString(c, head); err == nil {
				rest(c)
			}
		}
	}
	for name, say := range map[string]func(net.Conn){
		"1 GB with a length": with(headed(fmt.Sprint("Content-Length: ", whole)), times(lines)),
		"endless":            drips(headed(), string(lines[:64<<10]), 0),
		"gzip bomb":          with(headed("Content-Encoding: gzip"), times(zipped(lines))),
		"zstd bomb":          with(headed("Content-Encoding: zstd"), times(zstandard(lines))),
	} {
		all = append(all, turning{
			name: name, say: say, want: metadb.TargetOverlimit, says: "the limit of body_size_limit (bytes) is 4194304",
			change: func(o *scrape.PoolOptions) { o.BodySizeMax, o.ExtraMetrics = bombLimit, true },
		})
	}
	return all
}
