package scrape

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"sync"

	commonconfig "github.com/prometheus/common/config"
)

// sockets are the clients of a pool's targets behind Unix sockets, one a
// socket: connections are kept by address, which says nothing there.
type sockets struct {
	options *PoolOptions

	mu      sync.Mutex // guards clients
	clients map[string]*http.Client
}

// client returns the client of the socket at path.
func (s *sockets) client(path string) (*http.Client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.clients[path]; c != nil {
		return c, nil
	}
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	c, err := commonconfig.NewClientFromConfig(*s.options.HTTPClient, s.options.Job, commonconfig.WithDialContextFunc(dial))
	if err != nil {
		return nil, fmt.Errorf("http client of job %q for the socket %s: %w", s.options.Job, path, err)
	}
	if s.clients == nil {
		s.clients = map[string]*http.Client{}
	}
	s.clients[path] = c
	return c, nil
}

// keep drops the clients that none of specs needs.
func (s *sockets) keep(specs []*spec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.clients) == 0 {
		return
	}
	needed := map[string]bool{}
	for _, spec := range specs {
		needed[spec.socket] = true
	}
	for path, c := range s.clients {
		if !needed[path] {
			c.CloseIdleConnections()
			delete(s.clients, path)
		}
	}
}
