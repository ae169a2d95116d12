// Package report turns what the benchmarks measured into Markdown: tables with
// one column a system and the ratios of the peers to the subject, and medians
// and percentiles of samples.
//
// In a table less is better in every row, so that a ratio over 1 always means
// that the subject is ahead.
package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
)

// Table is measurements of several systems.
type Table struct {
	// Title stands above the table.
	Title string
	// Systems are the columns; Subject is the one that the others are divided by.
	Systems []string
	Subject string
	rows    []row
}

type row struct {
	name, unit string
	values     map[string]float64
}

// Add appends a row: what was measured, its unit and a value per system. A
// system without a value, or with NaN, gets a dash.
func (t *Table) Add(name, unit string, values map[string]float64) {
	t.rows = append(t.rows, row{name, unit, values})
}

// Value returns a cell, NaN where nothing was measured.
func (t *Table) Value(name, system string) float64 {
	for _, r := range t.rows {
		if v, ok := r.values[system]; ok && r.name == name {
			return v
		}
	}
	return math.NaN()
}

// Markdown prints the table.
func (t *Table) Markdown() string {
	header := []string{t.Title, "unit"}
	header = append(header, t.Systems...)
	subject := slices.Contains(t.Systems, t.Subject)
	for _, s := range t.Systems {
		if subject && s != t.Subject {
			header = append(header, s+" / "+t.Subject)
		}
	}
	lines := [][]string{header}
	for _, r := range t.rows {
		line := []string{r.name, r.unit}
		for _, s := range t.Systems {
			line = append(line, Number(value(r, s)))
		}
		for _, s := range t.Systems {
			if subject && s != t.Subject {
				line = append(line, Ratio(value(r, s), value(r, t.Subject)))
			}
		}
		lines = append(lines, line)
	}
	return markdown(lines)
}

func value(r row, system string) float64 {
	if v, ok := r.values[system]; ok {
		return v
	}
	return math.NaN()
}

// markdown aligns cells: text left, numbers right.
func markdown(lines [][]string) string {
	widths := make([]int, len(lines[0]))
	for _, line := range lines {
		for i, cell := range line {
			widths[i] = max(widths[i], len([]rune(cell)), 3)
		}
	}
	var b strings.Builder
	for n, line := range lines {
		for i, cell := range line {
			pad := strings.Repeat(" ", widths[i]-len([]rune(cell)))
			if i < 2 {
				b.WriteString("| " + cell + pad + " ")
			} else {
				b.WriteString("| " + pad + cell + " ")
			}
		}
		b.WriteString("|\n")
		if n > 0 {
			continue
		}
		for i, w := range widths {
			if i < 2 {
				b.WriteString("|" + strings.Repeat("-", w+2))
			} else {
				b.WriteString("|" + strings.Repeat("-", w+1) + ":")
			}
		}
		b.WriteString("|\n")
	}
	return b.String()
}

// Ratio prints peer / subject, a dash where it means nothing.
func Ratio(peer, subject float64) string {
	r := peer / subject
	if math.IsNaN(r) || math.IsInf(r, 0) || subject <= 0 {
		return "–"
	}
	if r >= 9.95 {
		return fmt.Sprintf("%.0f×", r)
	}
	return fmt.Sprintf("%.2f×", r)
}

// Number prints three significant digits, and integers from 1,000 on with
// commas.
func Number(v float64) string {
	switch a := math.Abs(v); {
	case math.IsNaN(v) || math.IsInf(v, 0):
		return "–"
	case v == 0:
		return "0"
	case a >= 999.5:
		return thousands(int64(math.Round(v)))
	case a >= 99.95:
		return fmt.Sprintf("%.0f", v)
	case a >= 9.995:
		return fmt.Sprintf("%.1f", v)
	case a >= 0.9995:
		return fmt.Sprintf("%.2f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

func thousands(v int64) string {
	s := fmt.Sprint(v)
	sign := ""
	if v < 0 {
		sign, s = "-", s[1:]
	}
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return sign + s
}

// Quantile is the q-quantile (0-1) of values by the nearest rank, NaN of none.
// It sorts a copy.
func Quantile(q float64, values []float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	rank := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(rank, 0), len(sorted)-1)]
}

// Median is the middle of values, the mean of the middle two of an even number,
// NaN of none.
func Median(values []float64) float64 {
	n := len(values)
	if n == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return (sorted[(n-1)/2] + sorted[n/2]) / 2
}
