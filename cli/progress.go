package cli

import (
	"fmt"
	"io"
	"os"
	"time"
)

// progressInterval is the least time between two lines of progress.
const progressInterval = 200 * time.Millisecond

// progress writes one line that it overwrites, on a terminal only.
type progress struct {
	out  io.Writer // nil: not a terminal
	last time.Time
	used bool
}

// newProgress writes to w if that is a terminal.
func newProgress(w io.Writer) *progress {
	f, ok := w.(*os.File)
	if !ok {
		return &progress{}
	}
	if info, err := f.Stat(); err != nil || info.Mode()&os.ModeCharDevice == 0 {
		return &progress{}
	}
	return &progress{out: w}
}

// line shows a line, if the last one is not too young.
func (p *progress) line(format string, args ...any) {
	if p.out == nil || time.Since(p.last) < progressInterval {
		return
	}
	p.last, p.used = time.Now(), true
	_, _ = fmt.Fprintf(p.out, "\r\x1b[K"+format, args...)
}

// end clears the line.
func (p *progress) end() {
	if p.used {
		_, _ = fmt.Fprint(p.out, "\r\x1b[K")
	}
}
