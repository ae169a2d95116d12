package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nilometer/nilometer/tsdb/prometheus"
)

// transfer shows how far an import or export is: a bar on a terminal, else a
// line for each range of time that is done. One goroutine uses it.
type transfer struct {
	out   io.Writer
	bar   *progress
	start time.Time
}

func newTransfer(streams Streams) *transfer {
	return &transfer{out: streams.Out, bar: newProgress(streams.Err), start: time.Now()}
}

func (p *transfer) report(now prometheus.Progress) {
	if r := now.Range; r != nil && p.bar.out == nil {
		_, _ = fmt.Fprintln(p.out, rangeLine(r))
		return
	}
	p.bar.line("%s", barLine(now, time.Since(p.start)))
}

// warn says something between the lines.
func (p *transfer) warn(text string) {
	p.bar.end()
	_, _ = fmt.Fprintf(p.out, "warning: %s\n", text)
}

// end leaves the terminal as it was.
func (p *transfer) end() { p.bar.end() }

func rangeLine(r *prometheus.RangeReport) string {
	head := fmt.Sprintf("%s to %s: ", r.From.Format(time.RFC3339), r.To.Format(time.RFC3339))
	if r.Repeated {
		return head + fmt.Sprintf("done before, %d series, %d samples", r.Series, r.Samples)
	}
	return head + fmt.Sprintf("%d series, %d samples, %s%s", r.Series, r.Samples, bytesText(int64(r.Bytes)), bytesEach(int64(r.Bytes), r.Samples))
}

// barCells is the length of the bar.
const barCells = 30

func barLine(now prometheus.Progress, since time.Duration) string {
	done := 0.0
	if now.Total > 0 {
		done = min(1, float64(now.Samples)/float64(now.Total))
	}
	full := int(done * barCells)
	line := fmt.Sprintf("[%s%s] %3.0f %%  %s samples%s", strings.Repeat("#", full), strings.Repeat(".", barCells-full), 100*done,
		countText(now.Samples), rate(now.Samples, since))
	if done > 0.01 && done < 1 {
		left := time.Duration(float64(since) * (1 - done) / done)
		line += fmt.Sprintf(", %s left", left.Round(time.Second))
	}
	return line
}

// rate is the sentence about samples in a time.
func rate(samples uint64, d time.Duration) string {
	if samples == 0 || d < time.Millisecond {
		return ""
	}
	return fmt.Sprintf(" (%s samples/s)", countText(uint64(float64(samples)/d.Seconds())))
}

// bytesEach is the sentence about the bytes that a sample takes.
func bytesEach(bytes int64, samples uint64) string {
	if samples == 0 {
		return ""
	}
	return fmt.Sprintf(", %.3f bytes/sample", float64(bytes)/float64(samples))
}

// countText writes a number in the unit that fits.
func countText(n uint64) string {
	switch {
	case n < 10_000:
		return fmt.Sprint(n)
	case n < 10_000_000:
		return fmt.Sprintf("%.1f k", float64(n)/1e3)
	case n < 10_000_000_000:
		return fmt.Sprintf("%.1f M", float64(n)/1e6)
	}
	return fmt.Sprintf("%.1f G", float64(n)/1e9)
}

// lines writes lines and remembers the first error.
type lines struct {
	to  io.Writer
	err error
}

func (l *lines) printf(format string, args ...any) {
	if l.err == nil {
		_, l.err = fmt.Fprintf(l.to, format+"\n", args...)
	}
}

// some writes a line when there is something to count.
func (l *lines) some(n uint64, format string, args ...any) {
	if n > 0 {
		l.printf(format, args...)
	}
}
