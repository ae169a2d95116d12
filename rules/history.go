package rules

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/prometheus/common/model"

	"github.com/nilometer/nilometer/metadb"
)

// loadFirings finds the history's rows that are still open.
func (k keeper) loadFirings(ctx context.Context, r *rule) error {
	open, err := k.db.ListAlerts(ctx, k.id, metadb.AlertFilter{Rule: metadb.RuleID(r.identifier), Status: metadb.AlertFiring, Limit: metadb.ListMax})
	if err != nil {
		return fmt.Errorf("load firings of alert %s: %w", r.alert, err)
	}
	for _, f := range open {
		fp := FingerprintOf(f.Labels)
		p := r.persisted[fp]
		p.firing, p.fired = f.ID, f.Version
		r.persisted[fp] = p
	}
	return nil
}

// saveHistory opens a row for each alert that fires and closes it when the
// alert has stopped.
func (k keeper) saveHistory(ctx context.Context, r *rule, at time.Time) error {
	var fired []metadb.FiredAlert
	var resolved []metadb.AlertChange
	var firedFor, resolvedFor []Fingerprint
	for fp, a := range r.alerts {
		if p := r.persisted[fp]; a.State == Firing && p.firing == "" && len(fired) < metadb.BatchMax {
			fired = append(fired, toFired(a, r, fp))
			firedFor = append(firedFor, fp)
		}
	}
	for fp, p := range r.persisted {
		if a, alive := r.alerts[fp]; p.firing != "" && (!alive || a.State != Firing) && len(resolved) < metadb.BatchMax {
			end := at
			if alive && !a.ResolvedAt.IsZero() {
				end = a.ResolvedAt
			}
			resolved = append(resolved, metadb.AlertChange{ID: p.firing, Version: p.fired, Resolve: &metadb.Resolution{At: end, By: metadb.BySystem}})
			resolvedFor = append(resolvedFor, fp)
		}
	}
	var errs []error
	if len(fired) > 0 {
		outcomes, err := k.db.FireAlerts(ctx, k.id, fired)
		if err != nil {
			return fmt.Errorf("record firings of alert %s: %w", r.alert, err)
		}
		for i, o := range outcomes {
			p := r.persisted[firedFor[i]]
			switch {
			case o.Err == nil:
				p.firing, p.fired = fired[i].ID, o.Version
			case errors.Is(o.Err, metadb.ErrConflict): // an earlier try has arrived after all
				errs = append(errs, k.refind(ctx, r, firedFor[i], &p, o.Err))
			default:
				errs = append(errs, fmt.Errorf("record firing of %s: %w", fired[i].Labels, o.Err))
			}
			r.persisted[firedFor[i]] = p
		}
	}
	if len(resolved) > 0 {
		outcomes, err := k.db.ChangeAlerts(ctx, k.id, resolved)
		if err != nil {
			return errors.Join(append(errs, fmt.Errorf("record ends of alert %s: %w", r.alert, err))...)
		}
		for i, o := range outcomes {
			p := r.persisted[resolvedFor[i]]
			switch {
			case o.Err == nil, errors.Is(o.Err, metadb.ErrNotFound):
				p.firing, p.fired = "", 0
			case errors.Is(o.Err, metadb.ErrConflict): // acknowledged meanwhile, or resolved by hand
				p.firing, p.fired = "", 0
				errs = append(errs, k.refind(ctx, r, resolvedFor[i], &p, o.Err))
			default:
				errs = append(errs, o.Err)
			}
			r.forget(resolvedFor[i], p)
		}
	}
	return errors.Join(errs...)
}

// refind looks for the open row of an alert again after a conflict.
func (k keeper) refind(ctx context.Context, r *rule, fp Fingerprint, p *persisted, cause error) error {
	open, err := k.db.ListAlerts(ctx, k.id, metadb.AlertFilter{
		Rule: metadb.RuleID(r.identifier), Fingerprint: fp.String(), Status: metadb.AlertFiring, Limit: 1,
	})
	if err != nil {
		return errors.Join(cause, err)
	}
	if len(open) == 0 {
		return nil // somebody else has resolved it: that was what we wanted
	}
	p.firing, p.fired = open[0].ID, open[0].Version
	return cause
}

// instanceNameMax is the size of the column, in bytes.
const instanceNameMax = 256

func toFired(a Alert, r *rule, fp Fingerprint) metadb.FiredAlert {
	instance := a.Labels.Get(model.InstanceLabel)
	return metadb.FiredAlert{
		ID: metadb.NewAlertID(), Rule: metadb.RuleID(r.identifier), Fingerprint: fp.String(),
		InstanceName: instance[:min(len(instance), instanceNameMax)], Labels: a.Labels, StartedAt: a.FiredAt,
		RuleName: r.alert, Expression: r.expr, Annotations: a.Annotations, Value: a.Value,
	}
}
