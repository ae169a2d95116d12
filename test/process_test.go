//go:build e2e

package test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nilometer/nilometer/test/output"
)

// patience bounds every wait for something that must happen; a machine under
// load is slow, so it is far above what is needed.
const patience = 60 * time.Second

// binary returns a program that the environment names.
func binary(t *testing.T, variable string) string {
	t.Helper()
	path := os.Getenv(variable)
	if path == "" {
		t.Fatalf("%s is not set: it must name the binary; `make e2e` builds both and sets it", variable)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("%s: %v", variable, err)
	}
	return path
}

// process is a program under way, ended at the latest with the test.
type process struct {
	cmd    *exec.Cmd
	stderr output.Buffer
	done   chan struct{} // closed when the process has ended
	err    error         // of Wait, after done
}

func startProcess(t *testing.T, stdout *output.Buffer, name string, args ...string) *process {
	t.Helper()
	p := &process{cmd: exec.Command(name, args...), done: make(chan struct{})}
	if stdout != nil {
		p.cmd.Stdout = stdout
	}
	p.cmd.Stderr = &p.stderr
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		p.err = p.cmd.Wait()
		close(p.done)
	}()
	t.Cleanup(func() {
		if t.Failed() && p.running() {
			p.dump(t, filepath.Base(name))
		}
		p.kill()
		if t.Failed() {
			t.Logf("%s %s wrote:\n%s", filepath.Base(name), strings.Join(args, " "), logLines(p.stderr.String(), 60))
		}
	})
	return p
}

// dump keeps what every goroutine of a running Go program does, for the person
// who looks into a failed test.
func (p *process) dump(t *testing.T, name string) {
	_ = p.cmd.Process.Signal(syscall.SIGQUIT) // it may have ended meanwhile
	select {
	case <-p.done:
	case <-time.After(5 * time.Second):
	}
	file, err := os.CreateTemp("", name+"-goroutines-*")
	if err != nil {
		t.Logf("goroutines not kept: %v", err)
		return
	}
	_, err = file.WriteString(p.stderr.String())
	if err = errors.Join(err, file.Close()); err != nil {
		t.Logf("goroutines not kept: %v", err)
		return
	}
	t.Logf("log and goroutines of %s are in %s", name, file.Name())
}

// logLines are the last n lines before a dump of goroutines.
func logLines(text string, n int) string {
	text, _, _ = strings.Cut(text, "SIGQUIT: quit")
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended already
	<-p.done
}

func (p *process) running() bool {
	select {
	case <-p.done:
		return false
	default:
		return true
	}
}

// server is a running nilometer.
type server struct {
	*process
	client
	stdout output.Buffer
}

// launch starts nilometer with flags; it may not be ready yet.
func launch(t *testing.T, flags ...string) *server {
	t.Helper()
	s := &server{}
	s.process = startProcess(t, &s.stdout, binary(t, "NILOMETER_BIN"), flags...)
	s.client = client{t: t, http: &http.Client{Timeout: patience}}
	eventually(t, "the banner with the URL", func() error {
		if !s.running() {
			t.Fatalf("nilometer ended at its start (%v):\n%s", s.err, s.stderr.String())
		}
		for lines := bufio.NewScanner(strings.NewReader(s.stdout.String())); lines.Scan(); {
			if _, url, ok := strings.Cut(lines.Text(), "is running: "); ok && strings.HasSuffix(s.stdout.String(), "\n\n") {
				s.url = strings.TrimSpace(url)
				return nil
			}
		}
		return errors.New("no URL on standard output")
	})
	return s
}

// start launches nilometer on a free port and waits until it is ready.
func start(t *testing.T, dataDir, configFile string, flags ...string) *server {
	t.Helper()
	s := launch(t, append([]string{"--data.dir", dataDir, "--config.file=" + configFile, "--web.listen-address=127.0.0.1:0"}, flags...)...)
	s.waitReady()
	return s
}

func (s *server) waitReady() {
	s.t.Helper()
	eventually(s.t, "/-/ready", func() error {
		status, body := s.get("/-/ready", nil)
		if status != http.StatusOK {
			return fmt.Errorf("%d: %s", status, body)
		}
		return nil
	})
}

// stop asks the process to end as an operator does and expects it to succeed.
func (s *server) stop() {
	s.t.Helper()
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		s.t.Fatalf("ask the server to end: %v", err)
	}
	select {
	case <-s.done:
	case <-time.After(patience):
		s.t.Fatal("the server did not end after SIGTERM")
	}
	if s.err != nil {
		s.t.Fatalf("the server ended with %v", s.err)
	}
}

// run executes nilometer to its end.
func run(t *testing.T, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	return execute(t, binary(t, "NILOMETER_BIN"), args...)
}

func execute(t *testing.T, name string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var out, errs bytes.Buffer
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) || ctx.Err() != nil {
		t.Fatalf("%s %s: %v\n%s", filepath.Base(name), strings.Join(args, " "), err, errs.String())
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// eventually tries until there is no error.
func eventually(t *testing.T, what string, try func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := try()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited %s for %s: %v", patience, what, err)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// freeAddress returns an address that nobody listens on just now.
func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr().String()
}

// write makes a file of the test.
func write(t *testing.T, dir, name, content string) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
