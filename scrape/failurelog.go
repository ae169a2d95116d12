package scrape

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"time"
)

// failureLogMode lets the operator's group read what fails.
const failureLogMode = 0o640

// failureLog is a file to which the failed scrapes of some pools are written, a
// line of JSON each. Without a file nothing is written.
type failureLog struct {
	lines *slog.Logger

	mu   sync.Mutex // guards file
	file *os.File
}

func newFailureLog() *failureLog {
	f := &failureLog{}
	f.lines = slog.New(slog.NewJSONHandler(f, nil))
	return f
}

// Write appends a line to the file.
func (f *failureLog) Write(line []byte) (int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.file == nil {
		return len(line), nil
	}
	return f.file.Write(line)
}

// to makes file the log's, which may be nil. The one before is closed, also when
// it is the same: so a reload ends the use of a file that was moved away.
func (f *failureLog) to(file *os.File) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	old := f.file
	if f.file = file; old == nil {
		return nil
	}
	return old.Close()
}

// note writes that a scrape of a target failed.
func (f *failureLog) note(job, target string, start time.Time, err error) {
	if f != nil {
		f.lines.Error(err.Error(), "job", job, "target", target, "scraped", start)
	}
}

// failureLogs are the logs of all pools, by path.
type failureLogs map[string]*failureLog

// open opens the files of the pools that are wanted, and returns their logs,
// those in use already among them. Nothing is written to the new files before
// begin.
func (fs failureLogs) open(wanted map[string]PoolOptions) (next failureLogs, files map[string]*os.File, err error) {
	next, files = failureLogs{}, map[string]*os.File{}
	for _, o := range wanted {
		path := o.FailureLog
		if path == "" || next[path] != nil {
			continue
		}
		if next[path] = fs[path]; next[path] == nil {
			next[path] = newFailureLog()
		}
		file, openErr := os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, failureLogMode)
		if openErr != nil {
			err = errors.Join(err, fmt.Errorf("open scrape_failure_log_file: %w", openErr))
			continue
		}
		files[path] = file
	}
	if err != nil {
		closeFiles(files)
		return nil, nil, err
	}
	return next, files, nil
}

func closeFiles(files map[string]*os.File) {
	for _, file := range files {
		_ = file.Close() // nothing was written
	}
}

// begin makes next write to files, and ends the logs that are not in it.
func (fs failureLogs) begin(next failureLogs, files map[string]*os.File) (err error) {
	for path, log := range next {
		err = errors.Join(err, log.to(files[path]))
	}
	for path, log := range fs {
		if next[path] == nil {
			err = errors.Join(err, log.to(nil))
		}
	}
	return err
}
