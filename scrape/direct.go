package scrape

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"

	"github.com/nilometer/nilometer/format/exposition"
	"github.com/nilometer/nilometer/scrape/http1"
)

// directIdleMax is the longest interval over which a connection is kept.
const directIdleMax = 5 * time.Minute

// directGetter asks a target over a connection of its own, where nothing of what
// a client can do besides is configured. It costs a third of the client's CPU.
type directGetter struct {
	via     *clientGetter
	conn    *http1.Conn
	request []byte
	// redirected targets are asked by the client.
	redirected bool
}

// newDirect returns a getter for the client's target; nil when that takes more
// than a plain request.
func newDirect(via *clientGetter) *directGetter {
	o, s := via.options, via.spec
	u, err := url.Parse(s.url)
	if err != nil || u.Scheme != "http" || u.User != nil || s.socket != "" || !plainClient(o) || !ascii(u.Host) {
		return nil
	}
	req, err := via.request(context.Background(), s)
	if err != nil {
		return nil
	}
	var text bytes.Buffer
	if err := req.Write(&text); err != nil {
		return nil
	}
	address := u.Host
	if u.Port() == "" {
		address = net.JoinHostPort(u.Hostname(), "80")
	}
	// A scrape that finds the other side gone says so: no probes between them.
	dialer := &net.Dialer{KeepAliveConfig: net.KeepAliveConfig{Enable: false}, KeepAlive: -1}
	return &directGetter{via: via, request: text.Bytes(), conn: http1.NewConn(func(ctx context.Context) (net.Conn, error) {
		return dialer.DialContext(ctx, "tcp", address)
	})}
}

// plainClient tells whether a pool's client adds nothing to a request.
func plainClient(o *PoolOptions) bool {
	c := o.HTTPClient
	return c.BasicAuth == nil && c.Authorization == nil && c.OAuth2 == nil && c.BearerToken == "" && c.BearerTokenFile == "" &&
		c.HTTPHeaders == nil && c.ProxyURL.URL == nil && !c.ProxyFromEnvironment
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

func (g *directGetter) close() { g.conn.Close() }

func (g *directGetter) get(ctx context.Context, m *memory) ([]byte, exposition.Format, error) {
	if g.redirected {
		return g.via.get(ctx, m)
	}
	a, err := g.conn.Get(ctx, g.request, &m.raw)
	if g.via.spec.interval > directIdleMax {
		g.conn.Close()
	}
	if err != nil {
		return nil, 0, timeoutCause(ctx, g.via.spec, fmt.Errorf("get %s: %w", g.via.spec.url, err))
	}
	switch {
	case a.Status == http.StatusOK:
		return g.via.decode(ctx, m, a.Body, string(a.ContentType), string(a.ContentEncoding))
	case a.Status/100 == 3 && a.Location != "" && g.via.options.HTTPClient.FollowRedirects:
		g.redirected = true
		g.conn.Close()
		m.raw.free()
		return g.via.get(ctx, m)
	}
	return nil, 0, errStatus(fmt.Sprintf("%d %s", a.Status, a.Reason))
}
