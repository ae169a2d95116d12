package web

import (
	"bytes"
	"crypto/rand"
	"errors"
	"html"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
)

// What the built index.html holds in place of the prefix and of the nonce, and
// what web/ui/index.html must therefore say.
const (
	baseMark   = `<base href="/"`
	prefixMark = `<meta name="prefix" content=""`
	nonceMark  = `<meta name="style-nonce" content=""`
)

const (
	assetsDir = "assets/" // files whose names hold their content's hash

	cacheForever = "public, max-age=31536000, immutable"
	cacheNever   = "no-cache"
)

// page answers one program's page from its files.
type page struct {
	files fs.FS
	index []byte // with the prefix filled in; nil: the page has not been built
}

// HandlerOf is Handler over other files: a tree with index.html at its root and
// hashed names below assets/. A name with ".gz" added holds the same file
// compressed, for the clients that accept it. files is read as long as the
// handler serves.
func HandlerOf(files fs.FS, prefix string) http.Handler {
	p := &page{files: files}
	if index, err := fs.ReadFile(files, "index.html"); err == nil {
		p.index = fill(index, html.EscapeString(prefix))
	}
	return p
}

func fill(index []byte, prefix string) []byte {
	index = bytes.Replace(index, []byte(baseMark), []byte(`<base href="`+prefix+`/"`), 1)
	return bytes.Replace(index, []byte(prefixMark), []byte(`<meta name="prefix" content="`+prefix+`"`), 1)
}

func (p *page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "the page answers GET and HEAD only", http.StatusMethodNotAllowed)
		return
	}
	name := strings.TrimPrefix(path.Clean("/"+r.URL.Path), "/")
	switch {
	case isAPI(name):
		http.Error(w, "no such endpoint: "+strconv.Quote(r.URL.Path), http.StatusNotFound)
	case p.index == nil:
		p.serveUnbuilt(w)
	case name == "" || name == "index.html":
		p.serveIndex(w)
	case path.Ext(name) != "" || strings.HasPrefix(name+"/", assetsDir):
		p.serveAsset(w, r, name)
	default: // an address of the page's own: its script reads it
		p.serveIndex(w)
	}
}

// isAPI says whether a path belongs to the API: a client that asks for what is
// not there must not take a page for an answer.
func isAPI(name string) bool {
	return strings.HasPrefix(name+"/", "api/") || strings.HasPrefix(name+"/", "-/")
}

func (p *page) serveIndex(w http.ResponseWriter) {
	nonce := rand.Text()
	secure(w.Header(), nonce)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", cacheNever)
	body := bytes.Replace(p.index, []byte(nonceMark), []byte(`<meta name="style-nonce" content="`+nonce+`"`), 1)
	_, _ = w.Write(body) // the client is gone: nobody to tell
}

func (p *page) serveAsset(w http.ResponseWriter, r *http.Request, name string) {
	body, encoding, err := p.read(name, r.Header.Get("Accept-Encoding"))
	if err != nil {
		status := http.StatusNotFound
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrInvalid) {
			status = http.StatusInternalServerError
		}
		http.Error(w, "no such file: "+strconv.Quote(r.URL.Path), status)
		return
	}
	header := w.Header()
	secure(header, "")
	header.Set("Content-Type", contentType(name))
	header.Set("Cache-Control", cacheNever)
	if strings.HasPrefix(name, assetsDir) {
		header.Set("Cache-Control", cacheForever)
	}
	header.Set("Vary", "Accept-Encoding")
	if encoding != "" {
		header.Set("Content-Encoding", encoding)
	}
	header.Set("Content-Length", strconv.Itoa(len(body)))
	_, _ = w.Write(body) // the client is gone: nobody to tell
}

// read returns a file, compressed when the client takes it so.
func (p *page) read(name, accepted string) (body []byte, encoding string, err error) {
	if acceptsGzip(accepted) {
		if body, err := fs.ReadFile(p.files, name+".gz"); err == nil {
			return body, "gzip", nil
		}
	}
	body, err = fs.ReadFile(p.files, name)
	return body, "", err
}

func acceptsGzip(accepted string) bool {
	for _, part := range strings.Split(accepted, ",") {
		coding, params, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.TrimSpace(coding) == "gzip" {
			q := strings.ReplaceAll(params, " ", "")
			return q != "q=0" && q != "q=0.0"
		}
	}
	return false
}

// contentType knows the page's own kinds of files, so that a system's MIME
// table cannot turn a script into text that nosniff then refuses.
func contentType(name string) string {
	switch path.Ext(name) {
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	}
	if kind := mime.TypeByExtension(path.Ext(name)); kind != "" {
		return kind
	}
	return "application/octet-stream"
}

// secure sets the headers that keep a page to its own origin. The query editor
// makes its style sheet at run time: it is let in by the nonce.
func secure(header http.Header, nonce string) {
	style := "'self'"
	if nonce != "" {
		style += " 'nonce-" + nonce + "'"
	}
	header.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src "+style+
		"; img-src 'self' data:; connect-src 'self'; base-uri 'self'; form-action 'self'; frame-ancestors 'self'")
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
}

// unbuilt is what a program without its page says of itself.
const unbuilt = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>Nilometer</title></head>
<body>
<h1>Nilometer runs, without its page</h1>
<p>The API is whole: queries, targets, rules and alerts answer under <code>/api/v1/</code>.</p>
<p>This program was built without the web assets. To build the page, run <code>make web</code>
(it needs Node.js 20 or newer and npm) and build the program again, or <code>make run</code> for both.</p>
</body>
</html>
`

func (p *page) serveUnbuilt(w http.ResponseWriter) {
	secure(w.Header(), "")
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", cacheNever)
	_, _ = w.Write([]byte(unbuilt)) // the client is gone: nobody to tell
}
