package cli

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math"
	"strconv"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/spf13/cobra"

	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb"
)

func newTSDBDump(streams Streams, deps func() tsdb.Deps) *cobra.Command {
	var match, minTime, maxTime, format, tenantName string
	cmd := &cobra.Command{
		Use:   "dump",
		Short: "Write samples as lines of text",
		Long: `Writes samples as lines of text, series by series in the order of their labels,
each series in order of time.

--format=openmetrics writes what promtool and others read again; it has no stale
markers and no native histograms. --format=promtool writes lines as promtool tsdb
dump does: labels, value and milliseconds.

Beside a server it writes what is in blocks, and says so.`,
		Args: args(cobra.NoArgs, "nilometer tsdb dump --data.dir DIR"),
		RunE: func(cmd *cobra.Command, _ []string) error {
			sel := storage.Selection{MinTime: math.MinInt64 / 2, MaxTime: math.MaxInt64 / 2}
			from, to, err := parseRange(minTime, maxTime)
			if err != nil {
				return err
			}
			if !from.IsZero() {
				sel.MinTime = from.UnixMilli()
			}
			if !to.IsZero() {
				sel.MaxTime = to.UnixMilli()
			}
			if match != "" {
				if sel.Matchers, err = parser.NewParser(parser.Options{}).ParseMetricSelector(match); err != nil {
					return usageError{fmt.Errorf("--match=%s: %w; write it like {job=\"node\"}", match, err)}
				}
			}
			d := &dumper{w: bufio.NewWriterSize(streams.Out, 1<<16)}
			write, ok := map[string]func(labels.Labels, []column.Sample) error{"openmetrics": d.openMetrics, "promtool": d.promtool}[format]
			if !ok {
				return usageError{fmt.Errorf("--format=%s: the formats are openmetrics and promtool", format)}
			}
			return onStill(cmd.Context(), streams, deps(), func(s *tsdb.Still, warn func(error)) error {
				err := s.EachSeries(cmd.Context(), tenant.ID(tenantName), sel, warn, write)
				if err == nil && format == "openmetrics" {
					_, err = io.WriteString(d.w, "# EOF\n")
				}
				if d.histograms > 0 {
					_, _ = fmt.Fprintf(streams.Err, "warning: %d native histograms are left out: this format has none, --format=promtool shows them\n", d.histograms)
				}
				return errors.Join(err, d.w.Flush())
			})
		},
	}
	f := cmd.Flags()
	f.StringVar(&match, "match", "", "write only the series that this `selector` chooses")
	f.StringVar(&minTime, "min-time", "", "leave out samples before this `time` (RFC 3339, or seconds since 1970)")
	f.StringVar(&maxTime, "max-time", "", "leave out samples after this `time`")
	f.StringVar(&format, "format", "openmetrics", "`format`: openmetrics or promtool")
	f.StringVar(&tenantName, "tenant", string(tenant.Default), "`name` of the tenant")
	return cmd
}

// dumper writes series as text.
type dumper struct {
	w          *bufio.Writer
	buf        []byte
	histograms int // left out
}

// promtool writes lines like {__name__="up", job="a"} 1 1700000000000.
func (d *dumper) promtool(lset labels.Labels, samples []column.Sample) error {
	name := lset.String()
	for _, s := range samples {
		d.buf = append(append(d.buf[:0], name...), ' ')
		if s.H.IsZero() {
			d.buf = strconv.AppendFloat(d.buf, s.V, 'g', -1, 64)
		} else {
			d.buf = append(d.buf, histogramText(s.H)...)
		}
		d.buf = append(strconv.AppendInt(append(d.buf, ' '), s.T, 10), '\n')
		if _, err := d.w.Write(d.buf); err != nil {
			return err
		}
	}
	return nil
}

func histogramText(h column.Histogram) string {
	if h.Int != nil {
		return h.Int.String()
	}
	return h.Float.String()
}

// openMetrics writes lines like up{job="a"} 1 1700000000.
func (d *dumper) openMetrics(lset labels.Labels, samples []column.Sample) error {
	name := seriesText(lset)
	for _, s := range samples {
		switch {
		case s.IsStale():
			continue
		case !s.H.IsZero():
			d.histograms++
			continue
		}
		d.buf = append(append(d.buf[:0], name...), ' ')
		d.buf = append(appendValue(d.buf, s.V), ' ')
		d.buf = append(appendSeconds(d.buf, s.T), '\n')
		if _, err := d.w.Write(d.buf); err != nil {
			return err
		}
	}
	return nil
}

func appendValue(dst []byte, v float64) []byte {
	if math.IsInf(v, 0) || math.IsNaN(v) { // +Inf, -Inf, NaN
		return append(dst, strconv.FormatFloat(v, 'g', -1, 64)...)
	}
	return strconv.AppendFloat(dst, v, 'g', -1, 64)
}

// appendSeconds writes ms as seconds, with as many decimals as it takes.
func appendSeconds(dst []byte, ms int64) []byte {
	if ms%1000 == 0 {
		return strconv.AppendInt(dst, ms/1000, 10)
	}
	return strconv.AppendFloat(dst, float64(ms)/1000, 'f', 3, 64)
}

// seriesText writes a label set as the text format does; a name with other
// characters than letters, digits, _ and : is quoted inside of the braces.
func seriesText(lset labels.Labels) string {
	name := lset.Get(model.MetricNameLabel)
	out := []byte(name)
	comma := false
	open := func() {
		if !comma {
			out = append(out, '{')
			comma = true
			return
		}
		out = append(out, ',')
	}
	if !model.LegacyValidation.IsValidMetricName(name) {
		out = out[:0]
		open()
		if name != "" {
			out = appendQuoted(out, name)
		} else {
			comma = false
			out = out[:0]
		}
	}
	lset.Range(func(l labels.Label) {
		if l.Name == model.MetricNameLabel {
			return
		}
		open()
		if model.LegacyValidation.IsValidLabelName(l.Name) {
			out = append(out, l.Name...)
		} else {
			out = appendQuoted(out, l.Name)
		}
		out = appendQuoted(append(out, '='), l.Value)
	})
	if comma {
		out = append(out, '}')
	}
	return string(out)
}

// appendQuoted escapes what the text format escapes: backslash, quote, newline.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '\\', '"':
			dst = append(dst, '\\', s[i])
		case '\n':
			dst = append(dst, '\\', 'n')
		default:
			dst = append(dst, s[i])
		}
	}
	return append(dst, '"')
}
