package sqlite

import (
	"context"
	"crypto/rand"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

// labelsMax bounds the labels of a filter: each is a subquery.
const labelsMax = 64

const targetColumns = `SELECT target_id, tenant, version, job_name, target_url, static_labels, interval_ms, timeout_ms,
	is_active, last_scraped_at, last_scrape_status, last_scrape_duration_ms, created_at, updated_at FROM monitored_targets`

func scanTarget(s scanner) (metadb.Target, error) {
	var t metadb.Target
	err := s.Scan(&t.ID, &t.Tenant, &t.Version, &t.Job, &t.URL, labelSet{&t.StaticLabels}, span{&t.Interval}, span{&t.Timeout},
		&t.Active, instant{&t.LastScrapedAt}, &t.LastStatus, span{&t.LastDuration}, instant{&t.CreatedAt}, instant{&t.UpdatedAt})
	return t, err
}

// newID returns ids that grow with time, so that new rows go to one end of the
// index.
func newID() string { return uuid.Must(uuid.NewV7FromReader(rand.Reader)).String() }

// UpsertTargets implements metadb.Targets.
func (d *DB) UpsertTargets(ctx context.Context, tn tenant.ID, specs []metadb.TargetSpec, now time.Time) ([]metadb.Target, error) {
	what := fmt.Sprintf("upsert %d targets", len(specs))
	return upsert(ctx, d, what, specs, metadb.TargetSpec.Validate,
		func(s metadb.TargetSpec) string { return s.Job + "\x00" + s.URL + "\x00" + labelText(s.StaticLabels) },
		func(t *tx, s metadb.TargetSpec) (metadb.Target, error) { return upsertTarget(t, tn, s, now) })
}

// upsert runs one call's specs in one transaction, refused whole when one is
// invalid or two have one key.
func upsert[S, R any](ctx context.Context, d *DB, what string, specs []S, check func(S) error, key func(S) string,
	do func(t *tx, s S) (R, error),
) ([]R, error) {
	if err := metadb.CheckBatch(len(specs)); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(specs) == 0 {
		return nil, nil
	}
	seen := make(map[string]int, len(specs))
	for i, s := range specs {
		if err := check(s); err != nil {
			return nil, fmt.Errorf("%s: number %d: %w", what, i+1, err)
		}
		k := key(s)
		if first, ok := seen[k]; ok {
			return nil, fmt.Errorf("%s: %w: numbers %d and %d have one key", what, metadb.ErrInvalid, first+1, i+1)
		}
		seen[k] = i
	}
	rows := make([]R, len(specs))
	err := d.write(ctx, what, func(t *tx) error {
		for i, s := range specs {
			var err error
			if rows[i], err = do(t, s); err != nil {
				return fmt.Errorf("number %d: %w", i+1, err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return rows, nil
}

func upsertTarget(t *tx, tn tenant.ID, s metadb.TargetSpec, now time.Time) (metadb.Target, error) {
	s.Interval, s.Timeout = s.Interval.Truncate(time.Millisecond), s.Timeout.Truncate(time.Millisecond)
	now = now.UTC().Truncate(time.Millisecond)
	var row metadb.Target
	found, err := t.row(targetColumns+` WHERE tenant = ? AND job_name = ? AND target_url = ? AND static_labels = ?`,
		[]any{tn, s.Job, s.URL, labelText(s.StaticLabels)}, func(sc scanner) (err error) {
			row, err = scanTarget(sc)
			return err
		})
	switch {
	case err != nil:
		return row, err
	case !found:
		row = metadb.Target{TargetSpec: s, ID: metadb.TargetID(newID()), Tenant: tn, Version: 1, Active: true,
			LastStatus: metadb.TargetUnknown, CreatedAt: now, UpdatedAt: now}
		_, err = t.exec(`INSERT INTO monitored_targets (target_id, tenant, job_name, target_url, static_labels,
			scrape_interval_seconds, scrape_timeout_seconds, interval_ms, timeout_ms, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, row.ID, tn, s.Job, s.URL, labelText(s.StaticLabels),
			wholeSeconds(s.Interval), wholeSeconds(s.Timeout), s.Interval.Milliseconds(), s.Timeout.Milliseconds(), ms(now), ms(now))
		return row, err
	case row.Active && row.Interval == s.Interval && row.Timeout == s.Timeout:
		return row, nil
	}
	row.Active, row.Interval, row.Timeout, row.UpdatedAt = true, s.Interval, s.Timeout, now
	row.Version++
	_, err = t.exec(`UPDATE monitored_targets SET version = version + 1, is_active = 1, scrape_interval_seconds = ?,
		scrape_timeout_seconds = ?, interval_ms = ?, timeout_ms = ?, updated_at = ? WHERE target_id = ?`,
		wholeSeconds(s.Interval), wholeSeconds(s.Timeout), s.Interval.Milliseconds(), s.Timeout.Milliseconds(), ms(now), row.ID)
	return row, err
}

const targetVersion = `SELECT version FROM monitored_targets WHERE target_id = ? AND tenant = ?`

// DeactivateTargets implements metadb.Targets.
func (d *DB) DeactivateTargets(ctx context.Context, tn tenant.ID, gone []metadb.TargetVersion, now time.Time) ([]metadb.Outcome, error) {
	return batch(ctx, d, "deactivate targets", gone, valid, func(t *tx, g metadb.TargetVersion) (metadb.Outcome, error) {
		var active bool
		found, err := t.row(`SELECT is_active FROM monitored_targets WHERE target_id = ? AND tenant = ? AND version = ?`,
			[]any{g.ID, tn, g.Version}, func(s scanner) error { return s.Scan(&active) })
		if err != nil {
			return metadb.Outcome{}, err
		}
		if found && !active {
			return metadb.Outcome{Version: g.Version}, nil
		}
		n, err := t.exec(`UPDATE monitored_targets SET version = version + 1, is_active = 0, updated_at = ?
			WHERE target_id = ? AND tenant = ? AND version = ?`, ms(now), g.ID, tn, g.Version)
		if err != nil {
			return metadb.Outcome{}, err
		}
		return t.swapped(n, g.Version, targetVersion, g.ID, tn)
	})
}

// UpdateTargets implements metadb.Targets.
func (d *DB) UpdateTargets(ctx context.Context, tn tenant.ID, updates []metadb.TargetUpdate) ([]metadb.Outcome, error) {
	return batch(ctx, d, "update targets", updates, metadb.TargetUpdate.Validate, func(t *tx, u metadb.TargetUpdate) (metadb.Outcome, error) {
		n, err := t.exec(`UPDATE monitored_targets SET version = version + 1, last_scraped_at = ?, last_scrape_status = ?,
			last_scrape_duration_ms = ?, updated_at = max(updated_at, coalesce(?, 0)) WHERE target_id = ? AND tenant = ? AND version = ?`,
			ms(u.ScrapedAt), u.Status, u.Duration.Milliseconds(), ms(u.ScrapedAt), u.ID, tn, u.Version)
		if err != nil {
			return metadb.Outcome{}, err
		}
		return t.swapped(n, u.Version, targetVersion, u.ID, tn)
	})
}

// ListTargets implements metadb.Targets.
func (d *DB) ListTargets(ctx context.Context, tn tenant.ID, want metadb.TargetFilter) ([]metadb.Target, error) {
	const what = "list targets"
	var f filter
	f.and("tenant = ?", tn)
	if err := ids(&f, "target_id", want.IDs); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	f.equal("job_name", want.Job)
	f.flag("is_active", want.Active)
	f.equal("last_scrape_status", string(want.Status))
	f.and("target_id > ?", want.After)
	if n := want.Labels.Len(); n > labelsMax {
		return nil, fmt.Errorf("%s: %w: the filter names %d labels, at most %d are allowed", what, metadb.ErrInvalid, n, labelsMax)
	}
	want.Labels.Range(func(l labels.Label) {
		f.and("EXISTS (SELECT 1 FROM json_each(static_labels) WHERE key = ? AND value = ?)", l.Name, l.Value)
	})
	return list(ctx, d, what, targetColumns, f, "target_id", want.Limit, scanTarget)
}

// PruneTargets implements metadb.Targets.
func (d *DB) PruneTargets(ctx context.Context, tn tenant.ID, before time.Time, limit int) (int, error) {
	return d.prune(ctx, "prune targets", "monitored_targets", "target_id",
		"tenant = ? AND is_active = 0 AND updated_at < ?", limit, tn, before.UnixMilli())
}
