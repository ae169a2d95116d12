package rules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

// Database is what rules keep in the metadata database.
type Database interface {
	metadb.Rules
	metadb.Alerts
}

// persisted is what the database has of an alert.
type persisted struct {
	alert   Alert
	version int64
	firing  metadb.AlertID // the history's row while it fires
	fired   int64          // that row's version
}

// keeper moves the states of a group's alerts between memory and database.
type keeper struct {
	db Database // nil: states live in memory alone
	id tenant.ID
}

// load reads the states of a rule's alerts. The rule's identifier is known.
func (k keeper) load(ctx context.Context, r *rule) error {
	after := ""
	for {
		states, err := k.db.LoadAlertStates(ctx, k.id, metadb.RuleID(r.identifier), after, metadb.ListDefault)
		if err != nil {
			return fmt.Errorf("load states of alert %s: %w", r.alert, err)
		}
		for _, s := range states {
			a := fromState(s)
			fp := FingerprintOf(a.Labels)
			p := persisted{alert: a, version: s.Version}
			r.persisted[fp] = p
			if _, known := r.alerts[fp]; !known {
				r.alerts[fp] = a
			}
			after = s.Fingerprint
		}
		if len(states) < metadb.ListDefault {
			break
		}
	}
	return k.loadFirings(ctx, r)
}

// save brings the database to the states in memory; what is the same already
// costs nothing. After an error the next call tries again.
func (k keeper) save(ctx context.Context, r *rule, at time.Time) error {
	if k.db == nil || r.identifier == "" {
		return nil
	}
	return errors.Join(k.saveStates(ctx, r, at), k.saveHistory(ctx, r, at))
}

func (k keeper) saveStates(ctx context.Context, r *rule, at time.Time) error {
	var states []metadb.AlertState
	var gone []metadb.AlertStateVersion
	var saved, removed []Fingerprint
	for fp, a := range r.alerts {
		p := r.persisted[fp]
		if len(states) < metadb.BatchMax && (p.version == 0 || differs(p.alert, a)) {
			states = append(states, toState(a, r, fp, p.version, at))
			saved = append(saved, fp)
		}
	}
	for fp, p := range r.persisted {
		if _, alive := r.alerts[fp]; !alive && p.version != 0 && len(gone) < metadb.BatchMax {
			gone = append(gone, metadb.AlertStateVersion{Rule: metadb.RuleID(r.identifier), Fingerprint: fp.String(), Version: p.version})
			removed = append(removed, fp)
		}
	}
	var errs []error
	if len(states) > 0 {
		outcomes, err := k.db.SaveAlertStates(ctx, k.id, states)
		if err != nil {
			return fmt.Errorf("save states of alert %s: %w", r.alert, err)
		}
		for i, o := range outcomes {
			if o.Err != nil {
				errs = append(errs, fmt.Errorf("save state of %s: %w", states[i].Labels, o.Err))
				k.reread(ctx, r, saved[i], o.Err)
				continue
			}
			p := r.persisted[saved[i]]
			p.alert, p.version = r.alerts[saved[i]], o.Version
			r.persisted[saved[i]] = p
		}
	}
	if len(gone) > 0 {
		outcomes, err := k.db.DeleteAlertStates(ctx, k.id, gone)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("delete states of alert %s: %w", r.alert, err))...)
		}
		for i, o := range outcomes {
			if o.Err == nil || errors.Is(o.Err, metadb.ErrNotFound) {
				p := r.persisted[removed[i]]
				p.version = 0
				r.forget(removed[i], p)
				continue
			}
			k.reread(ctx, r, removed[i], o.Err)
			errs = append(errs, o.Err)
		}
	}
	return errors.Join(errs...)
}

// forget drops what is known of the database's row once nothing of it is left.
func (r *rule) forget(fp Fingerprint, p persisted) {
	if p.version == 0 && p.firing == "" {
		delete(r.persisted, fp)
		return
	}
	r.persisted[fp] = p
}

// reread learns the version that another writer left: the owner's state in
// memory decides, the next save carries it on top (N7).
func (k keeper) reread(ctx context.Context, r *rule, fp Fingerprint, cause error) {
	if !errors.Is(cause, metadb.ErrConflict) {
		return
	}
	states, err := k.db.LoadAlertStates(ctx, k.id, metadb.RuleID(r.identifier), "", metadb.ListMax)
	if err != nil {
		return // the next save meets the conflict again
	}
	p := r.persisted[fp]
	p.version = 0
	for _, s := range states {
		if s.Fingerprint == fp.String() {
			p.version, p.alert = s.Version, fromState(s)
		}
	}
	r.persisted[fp] = p
}

// differs tells whether a state is worth a write: everything but the value,
// which changes with every evaluation and is shown from memory.
func differs(a, b Alert) bool {
	return a.State != b.State || !a.ActiveAt.Equal(b.ActiveAt) || !a.FiredAt.Equal(b.FiredAt) || !a.ResolvedAt.Equal(b.ResolvedAt) ||
		!a.KeepFiringSince.Equal(b.KeepFiringSince) || !a.LastSentAt.Equal(b.LastSentAt)
}

func toState(a Alert, r *rule, fp Fingerprint, version int64, at time.Time) metadb.AlertState {
	return metadb.AlertState{
		Rule: metadb.RuleID(r.identifier), Fingerprint: fp.String(), Version: version,
		State: metadb.InstanceState(a.State), Labels: a.Labels, Annotations: a.Annotations, Value: a.Value,
		ActiveAt: a.ActiveAt, FiredAt: a.FiredAt, ResolvedAt: a.ResolvedAt, LastSentAt: a.LastSentAt,
		KeepFiringSince: a.KeepFiringSince, LastEvaluationAt: at,
	}
}

func fromState(s metadb.AlertState) Alert {
	return Alert{
		State: State(s.State), Labels: s.Labels, Annotations: s.Annotations, Value: s.Value,
		ActiveAt: s.ActiveAt, FiredAt: s.FiredAt, ResolvedAt: s.ResolvedAt, LastSentAt: s.LastSentAt, KeepFiringSince: s.KeepFiringSince,
	}
}
