package web_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/nilometer/nilometer/web"
)

const index = `<!doctype html><base href="/" /><meta name="prefix" content="" /><meta name="style-nonce" content="" /><script type="module" src="./assets/app-1a2b.js"></script>`

func files() fstest.MapFS {
	return fstest.MapFS{
		"index.html":            {Data: []byte(index)},
		"favicon.svg":           {Data: []byte("<svg/>")},
		"assets/app-1a2b.js":    {Data: []byte("plain")},
		"assets/app-1a2b.js.gz": {Data: []byte("packed")},
		"assets/app-1a2b.css":   {Data: []byte("css")},
	}
}

func get(t *testing.T, h http.Handler, method, path string, header ...string) (*http.Response, string) {
	t.Helper()
	r := httptest.NewRequest(method, "http://nilometer.test/", nil)
	r.URL.Path = path
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	res := w.Result()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestPaths(t *testing.T) {
	const indexed = "index" // the index is in the body
	cases := []struct {
		name, method, path string
		accept             string
		status             int
		kind, cache        string
		body               string
	}{
		{"root", "GET", "/", "", 200, "text/html; charset=utf-8", "no-cache", indexed},
		{"empty path", "GET", "", "", 200, "text/html; charset=utf-8", "no-cache", indexed},
		{"index by name", "GET", "/index.html", "", 200, "text/html; charset=utf-8", "no-cache", indexed},
		{"a page's own address", "GET", "/query", "", 200, "text/html; charset=utf-8", "no-cache", indexed},
		{"a deeper one", "GET", "/alerts/firing", "", 200, "text/html; charset=utf-8", "no-cache", indexed},
		{"script", "GET", "/assets/app-1a2b.js", "", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "plain"},
		{"script, compressed", "GET", "/assets/app-1a2b.js", "br;q=1.0, gzip", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "packed"},
		{"script, compression refused", "GET", "/assets/app-1a2b.js", "gzip;q=0", 200, "text/javascript; charset=utf-8", "public, max-age=31536000, immutable", "plain"},
		{"nothing compressed there", "GET", "/assets/app-1a2b.css", "gzip", 200, "text/css; charset=utf-8", "public, max-age=31536000, immutable", "css"},
		{"unhashed file", "GET", "/favicon.svg", "", 200, "image/svg+xml", "no-cache", "<svg/>"},
		{"missing asset", "GET", "/assets/app-old.js", "", 404, "", "", "no such file"},
		{"the assets' directory", "GET", "/assets/", "", 404, "", "", "no such file"},
		{"missing file", "GET", "/robots.txt", "", 404, "", "", "no such file"},
		{"outside of the tree", "GET", "/../../etc/passwd.txt", "", 404, "", "", "no such file"},
		{"unknown endpoint", "GET", "/api/v1/nothing", "", 404, "", "", "no such endpoint"},
		{"unknown control", "GET", "/-/nothing", "", 404, "", "", "no such endpoint"},
		{"post", "POST", "/", "", 405, "", "", "GET and HEAD only"},
		{"head", "HEAD", "/", "", 200, "text/html; charset=utf-8", "no-cache", ""},
	}
	h := web.HandlerOf(files(), "")
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			res, body := get(t, h, c.method, c.path, "Accept-Encoding", c.accept)
			if res.StatusCode != c.status {
				t.Fatalf("status %d, want %d", res.StatusCode, c.status)
			}
			want := c.body
			if want == indexed {
				want = `<base href="/"`
			}
			if !strings.Contains(body, want) {
				t.Errorf("body %q, want %q in it", body, want)
			}
			if got := res.Header.Get("Content-Type"); c.kind != "" && got != c.kind {
				t.Errorf("Content-Type %q, want %q", got, c.kind)
			}
			if got := res.Header.Get("Cache-Control"); c.cache != "" && got != c.cache {
				t.Errorf("Cache-Control %q, want %q", got, c.cache)
			}
			if packed := res.Header.Get("Content-Encoding") == "gzip"; packed != (body == "packed") {
				t.Errorf("Content-Encoding %q of body %q", res.Header.Get("Content-Encoding"), body)
			}
		})
	}
}

func TestPrefix(t *testing.T) {
	for _, c := range []struct{ prefix, base, meta string }{
		{"", `<base href="/" />`, `<meta name="prefix" content="" />`},
		{"/nile", `<base href="/nile/" />`, `<meta name="prefix" content="/nile" />`},
		{`/a"><script>`, `<base href="/a&#34;&gt;&lt;script&gt;/" />`, `content="/a&#34;&gt;&lt;script&gt;"`},
	} {
		_, body := get(t, web.HandlerOf(files(), c.prefix), "GET", "/query")
		if !strings.Contains(body, c.base) || !strings.Contains(body, c.meta) {
			t.Errorf("prefix %q: %s", c.prefix, body)
		}
	}
}

func TestSecurityHeaders(t *testing.T) {
	h := web.HandlerOf(files(), "")
	nonces := map[string]bool{}
	for range 2 {
		res, body := get(t, h, "GET", "/")
		policy := res.Header.Get("Content-Security-Policy")
		script := regexp.MustCompile(`script-src ([^;]*)`).FindStringSubmatch(policy)
		if script == nil || script[1] != "'self'" {
			t.Errorf("I2: policy %q lets other scripts in", policy)
		}
		if res.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Error("without nosniff")
		}
		nonce := regexp.MustCompile(`style-src 'self' 'nonce-([A-Z0-9]+)'`).FindStringSubmatch(policy)
		if nonce == nil || !strings.Contains(body, `<meta name="style-nonce" content="`+nonce[1]+`"`) {
			t.Fatalf("policy %q and page %q disagree about the nonce", policy, body)
		}
		nonces[nonce[1]] = true
	}
	if len(nonces) != 2 {
		t.Error("two pages have the same nonce")
	}
}

func TestUnbuilt(t *testing.T) {
	h := web.HandlerOf(fstest.MapFS{".gitkeep": {}}, "/nile")
	for _, path := range []string{"/", "/targets", "/assets/app.js"} {
		res, body := get(t, h, "GET", path)
		if res.StatusCode != 200 || !strings.Contains(body, "make web") || !strings.Contains(body, "Node.js 20") {
			t.Errorf("%s: %d %q does not say how to build the page", path, res.StatusCode, body)
		}
	}
	if res, _ := get(t, h, "GET", "/api/v1/nothing"); res.StatusCode != 404 {
		t.Errorf("unknown endpoint: %d", res.StatusCode)
	}
}

// TestEmbedded holds in a fresh clone as well as after `make web`.
func TestEmbedded(t *testing.T) {
	res, body := get(t, web.Handler("/nile"), "GET", "/")
	if res.StatusCode != 200 || !strings.Contains(body, "Nilometer") {
		t.Fatalf("%d %q", res.StatusCode, body)
	}
	if !strings.Contains(body, "make web") && !strings.Contains(body, `<base href="/nile/"`) {
		t.Errorf("the built page has lost the prefix: %s", body)
	}
}

func TestSourceHasTheMarks(t *testing.T) {
	source, err := os.ReadFile("ui/index.html")
	if err != nil {
		t.Fatal(err)
	}
	for _, mark := range []string{`<base href="/"`, `<meta name="prefix" content=""`, `<meta name="style-nonce" content=""`} {
		if strings.Count(string(source), mark) != 1 {
			t.Errorf("ui/index.html must say %s once", mark)
		}
	}
	if regexp.MustCompile(`<script[^>]*>[^<]|<style`).Match(source) {
		t.Error("ui/index.html has an inline script or style: the policy refuses it")
	}
}
