package scrape

import (
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
)

// RelabelStep is what one rule makes of labels.
type RelabelStep struct {
	Rule *relabel.Config `json:"rule"`
	// Input and Output are the labels before and after the rule; Output is empty
	// once they are dropped.
	Input  labels.Labels `json:"input"`
	Output labels.Labels `json:"output"`
	// Keep is false from the rule on that drops them.
	Keep bool `json:"keep"`
}

// RelabelSteps shows what the rules of a pool make of labels, one rule after the
// other: those for targets, or with ofMetrics those for what targets say. ok is
// false when there is no such pool.
func (m *Manager) RelabelSteps(pool string, lset labels.Labels, ofMetrics bool) (steps []RelabelStep, ok bool) {
	m.mu.Lock()
	p := m.pools[pool]
	m.mu.Unlock()
	if p == nil {
		return nil, false
	}
	rules := p.options.Relabel
	if ofMetrics {
		rules = p.options.MetricRelabel
	}
	steps = make([]RelabelStep, 0, len(rules))
	lb, keep := labels.NewBuilder(lset), true
	for _, rule := range rules {
		s := RelabelStep{Rule: rule, Input: lset}
		if keep = keep && relabel.ProcessBuilder(lb, rule); keep {
			s.Output = lb.Labels()
		}
		s.Keep, lset = keep, s.Output
		steps = append(steps, s)
	}
	return steps, true
}
