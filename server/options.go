package server

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/url"
	"os"
	"strings"
	"time"
)

// Options are where things are, as the command line says it.
type Options struct {
	// ConfigFile is a prometheus.yml; empty: the embedded defaults.
	ConfigFile string
	// AutoReloadInterval is how often the files of the configuration are looked at:
	// what has changed, and is the same at the next look, is reloaded; 0 never.
	AutoReloadInterval time.Duration
	// DataDir is made when it is missing.
	DataDir string
	// ListenAddress is host:port; port 0 takes a free one.
	ListenAddress string
	// ExternalURL is where users reach the server; its path is the prefix of
	// every path. Empty: from the listener.
	ExternalURL string
	// RetentionTime overrides the configuration's; 0 does not.
	RetentionTime time.Duration
	// RetentionSize, bytes, and RetentionPercent of the disk override the
	// configuration's; 0 does not.
	RetentionSize    uint64
	RetentionPercent float64
	// AdminAPI switches on the requests that delete samples and make snapshots.
	AdminAPI bool
	// QueryTimeout, QueryLookbackDelta, QuerySamplesMax and QueryConcurrencyMax
	// override the configuration's limits of queries; 0 does not.
	QueryTimeout, QueryLookbackDelta time.Duration
	QuerySamplesMax                  int64
	QueryConcurrencyMax              int
	// Features are names of Prometheus' features.
	Features []string
	// Version and Revision name the program.
	Version, Revision string
}

// Deps are what the process gives.
type Deps struct {
	Logger *slog.Logger
	// Banner gets the lines for the person who started the server.
	Banner io.Writer
	// Reload asks for a reload with every value; nil never does.
	Reload <-chan os.Signal
}

// ErrExternalURL is wrapped by errors about Options.ExternalURL.
var ErrExternalURL = errors.New("invalid external URL")

func parseExternalURL(text string) (*url.URL, error) {
	if !strings.Contains(text, "://") {
		text = "http://" + text
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrExternalURL, err)
	}
	if u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%w: %q: write it like https://metrics.example.org/path", ErrExternalURL, text)
	}
	u.Path = strings.TrimRight(u.Path, "/")
	return u, nil
}
