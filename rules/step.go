package rules

import (
	"fmt"
	"sort"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
)

// State is where an alert is in its life.
type State string

// The states of an alert.
const (
	Inactive State = "inactive"
	Pending  State = "pending"
	Firing   State = "firing"
)

// Fingerprint names an alert within its rule: the canonical hash of its labels.
type Fingerprint series.Hash

// String returns the fingerprint as 16 hexadecimal digits.
func (f Fingerprint) String() string { return fmt.Sprintf("%016x", uint64(f)) }

// FingerprintOf returns the fingerprint of an alert's labels.
func FingerprintOf(lset labels.Labels) Fingerprint {
	h, _ := series.HashOf(lset, nil)
	return Fingerprint(h)
}

// Alert is one instance of an alerting rule: one label set that its expression
// returned.
type Alert struct {
	State       State
	Labels      labels.Labels // the series' labels, the rule's, and alertname
	Annotations labels.Labels
	Value       float64

	ActiveAt        time.Time // when the expression began to hold
	FiredAt         time.Time // zero unless it fires or has fired
	ResolvedAt      time.Time // zero unless it has stopped
	KeepFiringSince time.Time // zero while the expression holds
	LastSentAt      time.Time // when it was last handed to the Notifier
}

// Timing is how long an alert takes to fire and to stop.
type Timing struct {
	For           time.Duration
	KeepFiringFor time.Duration
}

// resolvedRetention is how long a resolved alert is remembered and handed over,
// so that a notifier that was away learns of it (the time Prometheus takes).
const resolvedRetention = 15 * time.Minute

// Transition is a change of one alert's state.
type Transition struct {
	Fingerprint Fingerprint
	From, To    State
}

// Step computes the alerts of a rule after an evaluation at now. prev are the
// alerts before; seen are the ones the expression returned, of which labels,
// annotations and value count. prev is not changed. Transitions come in order
// of fingerprints.
func Step(t Timing, prev map[Fingerprint]Alert, seen map[Fingerprint]Alert, now time.Time) (map[Fingerprint]Alert, []Transition) {
	next := make(map[Fingerprint]Alert, len(seen))
	var changes []Transition
	note := func(fp Fingerprint, from, to State) {
		if from != to {
			changes = append(changes, Transition{fp, from, to})
		}
	}
	for fp, s := range seen {
		before, known := prev[fp]
		a := before
		if !known || before.State == Inactive {
			a = Alert{State: Pending, Labels: s.Labels, ActiveAt: now}
			before.State = Inactive
		}
		a.Annotations, a.Value, a.KeepFiringSince = s.Annotations, s.Value, time.Time{}
		a = mature(a, t, now)
		next[fp] = a
		note(fp, before.State, a.State)
	}
	for fp, before := range prev {
		if _, ok := seen[fp]; ok {
			continue
		}
		a, keep := fade(before, t, now)
		note(fp, before.State, a.State)
		if keep {
			next[fp] = a
		}
	}
	sort.Slice(changes, func(i, j int) bool { return changes[i].Fingerprint < changes[j].Fingerprint })
	return next, changes
}

// mature lets an alert whose expression holds fire when it has held for long
// enough, and takes it back when the rule's time has become longer.
func mature(a Alert, t Timing, now time.Time) Alert {
	held := now.Sub(a.ActiveAt) >= t.For
	switch {
	case a.State == Pending && held:
		a.State, a.FiredAt = Firing, now
	case a.State == Firing && !held:
		a.State, a.FiredAt, a.LastSentAt = Pending, time.Time{}, time.Time{}
	}
	return a
}

// fade ends an alert whose expression no longer holds; keep is false when it
// can be forgotten.
func fade(a Alert, t Timing, now time.Time) (_ Alert, keep bool) {
	switch a.State {
	case Firing:
		if t.KeepFiringFor > 0 {
			if a.KeepFiringSince.IsZero() {
				a.KeepFiringSince = now
			}
			if now.Sub(a.KeepFiringSince) < t.KeepFiringFor {
				return a, true
			}
		}
		a.State, a.ResolvedAt = Inactive, now
		return a, true
	case Inactive:
		return a, now.Sub(a.ResolvedAt) <= resolvedRetention
	}
	a.State = Inactive // pending, and gone before it fired: nobody was told
	return a, false
}

// due tells whether an alert is to be handed over at now: when it fires, again
// every resend interval, and when it has been resolved.
func due(a Alert, now time.Time, resend time.Duration) bool {
	switch {
	case a.State == Pending:
		return false
	case a.State == Inactive && a.FiredAt.IsZero():
		return false
	case a.ResolvedAt.After(a.LastSentAt):
		return true
	}
	return !now.Before(a.LastSentAt.Add(resend))
}
