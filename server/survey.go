package server

import (
	"context"
	"strings"
	"time"

	"github.com/nilometer/nilometer/limits"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
)

// surveyLargest is how many of the largest metrics, targets and labels are
// looked at after a start.
const surveyLargest = 100

// surveyWait is the time between two looks whether the log is read.
const surveyWait = time.Second

// surveyLimits finds the labels that were over their limit before the start.
func (s *server) surveyLimits(ctx context.Context) {
	for s.db.Ready() != nil {
		select {
		case <-time.After(surveyWait):
		case <-ctx.Done():
			return
		}
	}
	c, err := s.db.Cardinality(ctx, tenant.Default, surveyLargest)
	if err == nil {
		err = s.limits.Survey(ctx, tenant.Default, suspects(c))
	}
	if err != nil && ctx.Err() == nil {
		s.logger.Warn("labels over their limit not all looked for, new series will show them", "err", err)
	}
}

// suspects are the largest of everything.
func suspects(c storage.Cardinality) limits.Suspects {
	var out limits.Suspects
	for _, m := range c.Metrics.BySeries {
		out.Metrics = append(out.Metrics, m.Name)
	}
	for _, v := range c.ValuesOf {
		out.Labels = append(out.Labels, v.Name)
	}
	for _, t := range c.Targets.BySeries {
		if at := strings.LastIndexByte(t.Name, '/'); at >= 0 {
			out.Targets = append(out.Targets, limits.Target{Job: t.Name[:at], Instance: t.Name[at+1:]})
		}
	}
	return out
}
