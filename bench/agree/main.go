// Command agree scrapes the same targets with Prometheus and with Nilometer and
// compares what they come to: series, values, histograms, report series,
// exemplars, metadata, health and discovered labels. Every target shows one
// thing that scrapers might take differently, and every job sets what changes it
// (see jobs.go). It prints the differences and ends with 1 if there are any.
//
//	go run ./bench/agree -nilometer bin/nilometer -prometheus ~/.cache/nilometer/peers/prometheus
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	nilometer := flag.String("nilometer", "bin/nilometer", "the server's `binary`")
	prometheus := flag.String("prometheus", "", "Prometheus' `binary`, as make peers builds it")
	wait := flag.Duration("for", 8*time.Second, "how long both scrape, once a second")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	differences, err := run(ctx, *nilometer, *prometheus, *wait)
	if err != nil {
		fmt.Fprintln(os.Stderr, "agree:", err)
		os.Exit(2)
	}
	for _, d := range differences {
		fmt.Println(d)
	}
	if len(differences) > 0 {
		os.Exit(1)
	}
}

// run starts the targets and both servers and returns how they differ.
func run(ctx context.Context, nilometer, prometheus string, wait time.Duration) ([]string, error) {
	dir, err := os.MkdirTemp("", "nilometer-agree-")
	if err != nil {
		return nil, fmt.Errorf("make a directory: %w", err)
	}
	defer os.RemoveAll(dir)
	targets := httptest.NewServer(targetMux())
	defer targets.Close()
	config := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(config, []byte(configOf(targets.Listener.Addr().String())), 0o600); err != nil {
		return nil, fmt.Errorf("write the configuration: %w", err)
	}
	ctx, cancel := context.WithCancel(ctx)
	ours, err := start(ctx, nilometer, "--config.file="+config, "--data.dir="+filepath.Join(dir, "nilometer"))
	if err != nil {
		cancel()
		return nil, err
	}
	defer ours.wait()
	defer cancel() // before the waits: deferred calls run last in, first out
	theirs, err := start(ctx, prometheus, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "prometheus"),
		"--enable-feature=exemplar-storage", "--log.level=error")
	if err != nil {
		return nil, err
	}
	defer theirs.wait()
	defer cancel()
	select {
	case <-time.After(wait):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return compare(ctx, theirs.address, ours.address)
}

// server is a program under way.
type server struct {
	address string
	command *exec.Cmd
}

// readyTimeout bounds how long a server takes to answer.
const readyTimeout = 30 * time.Second

// start runs a server until ctx ends and waits until it is ready.
func start(ctx context.Context, binary string, args ...string) (*server, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("find a free port: %w", err)
	}
	s := &server{address: l.Addr().String()}
	if err := l.Close(); err != nil {
		return nil, err
	}
	s.command = exec.CommandContext(ctx, binary, append(args, "--web.listen-address="+s.address)...)
	s.command.Cancel = func() error { return s.command.Process.Signal(syscall.SIGTERM) }
	s.command.WaitDelay = readyTimeout
	if err := s.command.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", binary, err)
	}
	for limit := time.Now().Add(readyTimeout); ; time.Sleep(50 * time.Millisecond) {
		resp, err := http.Get("http://" + s.address + "/-/ready")
		if err == nil {
			err = errors.Join(resp.Body.Close())
			if resp.StatusCode == http.StatusOK && err == nil {
				return s, nil
			}
		}
		if time.Now().After(limit) {
			return nil, fmt.Errorf("%s is not ready: %w", binary, errors.Join(err, s.command.Process.Kill()))
		}
	}
}

// wait waits for the end of a server whose context has ended.
func (s *server) wait() { _ = s.command.Wait() } // it was told to end: how says nothing
