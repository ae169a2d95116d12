package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"github.com/nilometer/nilometer/bench/procstat"
)

const (
	readyTimeout = 60 * time.Second
	// stopTimeout is the time for a clean shutdown, after it the process is killed.
	stopTimeout = 60 * time.Second
	// logTail is how much of a log an error shows.
	logTail = 2 << 10
)

// process is a system that runs. It must be stopped.
type process struct {
	system  system
	dir     string
	address string
	command *exec.Cmd
	done    chan struct{} // closed when the process has ended
	paused  bool
	client  *http.Client
}

// start runs a system in dir (with its data in dir/data) and waits until it is
// ready.
func start(ctx context.Context, s system, dir, config string) (*process, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	log, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", s.name, err)
	}
	p := &process{
		system:  s,
		dir:     dir,
		address: address,
		command: exec.Command(s.binary, s.args(filepath.Join(dir, "data"), address, config)...),
		done:    make(chan struct{}),
		client:  &http.Client{Timeout: 2 * time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 8}},
	}
	p.command.Dir = dir
	p.command.Stdout, p.command.Stderr = log, log
	bindLife(p.command)
	if err := p.command.Start(); err != nil {
		return nil, errors.Join(fmt.Errorf("start %s: %w", s.name, err), log.Close())
	}
	go func() {
		_ = p.command.Wait() // an early end shows as "not ready" or a failed request
		_ = log.Close()
		close(p.done)
	}()
	if err := p.waitReady(ctx); err != nil {
		p.stop()
		return nil, err
	}
	return p, nil
}

// freeAddress finds a loopback port that nobody uses at this moment.
func freeAddress() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}

func (p *process) waitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	for {
		_, err := p.get(ctx, p.system.ready)
		if err == nil {
			return nil
		}
		select {
		case <-p.done:
			return fmt.Errorf("start %s: it has ended: %s", p.system.name, p.logEnd())
		case <-ctx.Done():
			return fmt.Errorf("start %s: not ready: %w: %s", p.system.name, err, p.logEnd())
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *process) logEnd() string {
	log, err := os.ReadFile(filepath.Join(p.dir, "log"))
	if err != nil {
		return err.Error()
	}
	if len(log) > logTail {
		log = log[len(log)-logTail:]
	}
	return string(bytes.TrimSpace(log))
}

func (p *process) pid() int { return p.command.Process.Pid }

// pause stops the process in its tracks, so that another has the machine.
func (p *process) pause() error {
	p.paused = true
	return p.signal(syscall.SIGSTOP)
}

// resume lets a paused process go on.
func (p *process) resume() error {
	if !p.paused {
		return nil
	}
	p.paused = false
	return p.signal(syscall.SIGCONT)
}

func (p *process) signal(s syscall.Signal) error {
	select {
	case <-p.done:
		return fmt.Errorf("%s has ended: %s", p.system.name, p.logEnd())
	default:
	}
	if err := p.command.Process.Signal(s); err != nil {
		return fmt.Errorf("signal %s: %w", p.system.name, err)
	}
	return nil
}

// stop ends the process and returns when it is gone. It may be called twice.
func (p *process) stop() {
	_ = p.resume() // the errors say that it has ended already
	_ = p.signal(syscall.SIGTERM)
	select {
	case <-p.done:
		return
	case <-time.After(stopTimeout):
	}
	_ = p.command.Process.Kill()
	<-p.done
}

// get reads a path of the system's HTTP interface.
func (p *process) get(ctx context.Context, path string) ([]byte, error) {
	return p.do(ctx, http.MethodGet, path)
}

// take is get of an answer that nobody looks at: compressed, it is not unpacked. That
// would be work of the client on the processors of the system, which is measured, and of long
// answers most of all.
func (p *process) take(ctx context.Context, path string) error {
	_, err := p.ask(ctx, http.MethodGet, path, "gzip")
	return err
}

func (p *process) do(ctx context.Context, method, path string) ([]byte, error) {
	return p.ask(ctx, method, path, "")
}

// ask returns the body as it came, if a coding is asked for.
func (p *process) ask(ctx context.Context, method, path, coding string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, method, "http://"+p.address+path, nil)
	if err != nil {
		return nil, err
	}
	// All systems compress, as for a client elsewhere: Nilometer would not for one
	// on its own machine.
	req.Header.Set("X-Forwarded-For", "192.0.2.1")
	if coding != "" {
		req.Header.Set("Accept-Encoding", coding)
	}
	resp, err := p.client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("ask %s: %w", p.system.name, err)
	}
	body, err := io.ReadAll(resp.Body)
	if err := errors.Join(err, resp.Body.Close()); err != nil {
		return nil, fmt.Errorf("ask %s for %s: %w", p.system.name, path, err)
	}
	if resp.StatusCode/100 != 2 {
		return nil, fmt.Errorf("ask %s for %s: answered %s: %s", p.system.name, path, resp.Status, bytes.TrimSpace(body[:min(len(body), 500)]))
	}
	return body, nil
}

func (p *process) cpu() (time.Duration, error) { return procstat.CPU(p.pid()) }

func (p *process) memory() (procstat.Memory, error) { return procstat.ReadMemory(p.pid()) }
