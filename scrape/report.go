package scrape

import (
	"context"
	"fmt"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/storage"
)

// reportNames are the series that tell about a scrape itself; those from
// reportExtra on where the options ask for them.
var reportNames = [...]string{
	"up", "scrape_duration_seconds", "scrape_samples_scraped",
	"scrape_samples_post_metric_relabeling", "scrape_series_added",
	"scrape_timeout_seconds", "scrape_sample_limit", "scrape_body_size_bytes",
}

const reportExtra = 5

// reportValues are parallel to reportNames.
type reportValues [len(reportNames)]float64

func (s *sink) reportOf(up, seconds float64, out outcome) reportValues {
	return reportValues{
		up, seconds, float64(out.scraped), float64(out.relabeled), float64(out.added),
		s.timeout.Seconds(), float64(s.options.SampleMax), float64(out.bodySize),
	}
}

// reported is how many of reportNames the target has.
func (s *sink) reported() int {
	if s.options.ExtraMetrics {
		return len(reportNames)
	}
	return reportExtra
}

// report is where the report series live: in the closed group of the target's
// own placement key.
type report struct {
	resolved bool
	group    uint16
	slots    [len(reportNames)]storage.Slot
}

// resolveReport makes sure that the report's slots are known, and keeps them
// free in this scrape: a body cannot write them.
func (s *sink) resolveReport(ctx context.Context, w *work) error {
	if !s.report.resolved {
		lb := labels.NewBuilder(s.target)
		sets := make([]labels.Labels, s.reported())
		for i, name := range reportNames[:len(sets)] {
			lb.Set(model.MetricNameLabel, name)
			sets[i] = lb.Labels()
		}
		var key series.Key
		key, w.scratch = series.KeyOf(sets[0], w.scratch)
		n, err := s.groupFor(ctx, key, storage.Closed)
		if err != nil {
			return err
		}
		answers, err := s.ask(ctx, w, s.groups[n], sets)
		if err != nil {
			return err
		}
		for i, a := range answers {
			if a.Reason != storage.ReasonNone {
				return fmt.Errorf("the report series of the target: %w", &storage.RejectedError{Reason: a.Reason, Series: sets[i].String()})
			}
			s.report.slots[i] = a.Slot
		}
		s.report.group, s.report.resolved = n, true
	}
	g := w.of(s.report.group)
	for _, slot := range s.report.slots[:s.reported()] {
		g.now.set(uint32(slot))
	}
	return nil
}

// addReport puts the report into its group's batch.
func (s *sink) addReport(w *work, v reportValues) {
	g := w.of(s.report.group)
	g.slots = append(g.slots, s.report.slots[:s.reported()]...)
	g.values = append(g.values, v[:s.reported()]...)
}
