package metadb

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nilometer/nilometer/model/tenant"
)

// reconcileTries bounds how often a row that somebody else keeps changing is
// read again before the walk gives up on it.
const reconcileTries = 5

// ReconcileTargets makes exactly the targets of specs active in a job: it
// upserts all of them and deactivates the job's others. It works in batches, so
// a crash may leave the old ones active: call it again. The targets are returned
// in the order of specs.
func ReconcileTargets(ctx context.Context, db Targets, tn tenant.ID, job string, specs []TargetSpec, now time.Time) ([]Target, error) {
	targets := make([]Target, 0, len(specs))
	keep := make(map[TargetID]struct{}, len(specs))
	for batch := range slices.Chunk(specs, BatchMax) {
		for _, s := range batch {
			if s.Job != job {
				return nil, fmt.Errorf("reconcile targets of job %q: %w: target %s belongs to job %q", job, ErrInvalid, s.URL, s.Job)
			}
		}
		got, err := db.UpsertTargets(ctx, tn, batch, now)
		if err != nil {
			return nil, fmt.Errorf("reconcile targets of job %q: %w", job, err)
		}
		for _, t := range got {
			keep[t.ID] = struct{}{}
		}
		targets = append(targets, got...)
	}

	active := true
	err := retire(func(after TargetID) ([]TargetVersion, TargetID, error) {
		page, err := db.ListTargets(ctx, tn, TargetFilter{Job: job, Active: &active, After: after, Limit: ListDefault})
		gone, after := others(page, keep, func(t Target) (TargetID, TargetVersion) { return t.ID, TargetVersion{t.ID, t.Version} })
		return gone, after, err
	}, func(gone []TargetVersion) ([]Outcome, error) {
		return db.DeactivateTargets(ctx, tn, gone, now)
	})
	if err != nil {
		return nil, fmt.Errorf("reconcile targets of job %q: deactivate those gone: %w", job, err)
	}
	return targets, nil
}

// ReconcileRules makes exactly the rules of specs the tenant's enabled ones: it
// upserts all of them and disables the others, of whatever source. It works in
// batches, so a crash may leave old ones enabled: call it again. The rules are
// returned in the order of specs.
func ReconcileRules(ctx context.Context, db Rules, tn tenant.ID, specs []RuleSpec, now time.Time) ([]Rule, error) {
	rules := make([]Rule, 0, len(specs))
	keep := make(map[RuleID]struct{}, len(specs))
	for batch := range slices.Chunk(specs, BatchMax) {
		got, err := db.UpsertRules(ctx, tn, batch, now)
		if err != nil {
			return nil, fmt.Errorf("reconcile rules: %w", err)
		}
		for _, r := range got {
			keep[r.ID] = struct{}{}
		}
		rules = append(rules, got...)
	}

	enabled := true
	err := retire(func(after RuleID) ([]RuleVersion, RuleID, error) {
		page, err := db.ListRules(ctx, tn, RuleFilter{Enabled: &enabled, After: after, Limit: ListDefault})
		gone, after := others(page, keep, func(r Rule) (RuleID, RuleVersion) { return r.ID, RuleVersion{r.ID, r.Version} })
		return gone, after, err
	}, func(gone []RuleVersion) ([]Outcome, error) {
		return db.DisableRules(ctx, tn, gone, now)
	})
	if err != nil {
		return nil, fmt.Errorf("reconcile rules: disable those gone: %w", err)
	}
	return rules, nil
}

// others returns what of a page is not to be kept, and the id that the next page
// goes on after: "" when there is none.
func others[R, V any, ID ~string](page []R, keep map[ID]struct{}, of func(R) (ID, V)) (gone []V, after ID) {
	for _, r := range page {
		id, version := of(r)
		if _, ok := keep[id]; !ok {
			gone = append(gone, version)
		}
		after = id
	}
	if len(page) < ListDefault {
		after = ""
	}
	return gone, after
}

// retire walks the pages of list and lets drop mark what they name, and walks
// again while somebody else won a race for one of the rows. list gets the id to
// go on after and returns the next one, "" after the last page.
func retire[V any, ID ~string](list func(after ID) ([]V, ID, error), drop func([]V) ([]Outcome, error)) error {
	var conflict error
	for range reconcileTries {
		conflict = nil
		for after, more := ID(""), true; more; more = after != "" {
			gone, next, err := list(after)
			if err != nil {
				return err
			}
			after = next
			if len(gone) == 0 {
				continue
			}
			outcomes, err := drop(gone)
			if err != nil {
				return err
			}
			for _, o := range outcomes {
				switch {
				case errors.Is(o.Err, ErrConflict):
					conflict = o.Err
				case o.Err != nil && !errors.Is(o.Err, ErrNotFound):
					return o.Err
				}
			}
		}
		if conflict == nil {
			return nil
		}
	}
	return conflict
}
