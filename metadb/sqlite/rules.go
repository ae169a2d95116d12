package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

const ruleColumns = `SELECT rule_id, tenant, version, source, rule_group, rule_name, position, promql_expression, for_ms,
	keep_firing_for_ms, rule_labels, rule_annotations, is_enabled, created_at, updated_at FROM alert_rules`

func scanRule(s scanner) (metadb.Rule, error) {
	var r metadb.Rule
	err := s.Scan(&r.ID, &r.Tenant, &r.Version, &r.Source, &r.Group, &r.Name, &r.Position, &r.Expression, span{&r.For},
		span{&r.KeepFiringFor}, labelSet{&r.Labels}, labelSet{&r.Annotations}, &r.Enabled, instant{&r.CreatedAt}, instant{&r.UpdatedAt})
	return r, err
}

// UpsertRules implements metadb.Rules.
func (d *DB) UpsertRules(ctx context.Context, tn tenant.ID, specs []metadb.RuleSpec, now time.Time) ([]metadb.Rule, error) {
	what := fmt.Sprintf("upsert %d rules", len(specs))
	return upsert(ctx, d, what, specs, metadb.RuleSpec.Validate,
		func(s metadb.RuleSpec) string {
			return fmt.Sprintf("%s\x00%s\x00%s\x00%d", s.Source, s.Group, s.Name, s.Position)
		},
		func(t *tx, s metadb.RuleSpec) (metadb.Rule, error) { return upsertRule(t, tn, s, now) })
}

func upsertRule(t *tx, tn tenant.ID, s metadb.RuleSpec, now time.Time) (metadb.Rule, error) {
	s.For, s.KeepFiringFor = s.For.Truncate(time.Millisecond), s.KeepFiringFor.Truncate(time.Millisecond)
	now = now.UTC().Truncate(time.Millisecond)
	var row metadb.Rule
	found, err := t.row(ruleColumns+` WHERE tenant = ? AND source = ? AND rule_group = ? AND rule_name = ? AND position = ?`,
		[]any{tn, s.Source, s.Group, s.Name, s.Position}, func(sc scanner) (err error) {
			row, err = scanRule(sc)
			return err
		})
	switch {
	case err != nil:
		return row, err
	case !found:
		row = metadb.Rule{RuleSpec: s, ID: metadb.RuleID(newID()), Tenant: tn, Version: 1, Enabled: true, CreatedAt: now, UpdatedAt: now}
		_, err = t.exec(`INSERT INTO alert_rules (rule_id, tenant, source, rule_group, rule_name, position, promql_expression,
			for_duration_seconds, for_ms, keep_firing_for_ms, rule_labels, rule_annotations, created_at, updated_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`, row.ID, tn, s.Source, s.Group, s.Name, s.Position, s.Expression,
			wholeSeconds(s.For), s.For.Milliseconds(), s.KeepFiringFor.Milliseconds(), labelText(s.Labels), labelText(s.Annotations),
			ms(now), ms(now))
		return row, err
	case row.Enabled && row.Expression == s.Expression && row.For == s.For && row.KeepFiringFor == s.KeepFiringFor &&
		labels.Equal(row.Labels, s.Labels) && labels.Equal(row.Annotations, s.Annotations):
		return row, nil
	}
	row.RuleSpec, row.Enabled, row.UpdatedAt = s, true, now
	row.Version++
	_, err = t.exec(`UPDATE alert_rules SET version = version + 1, is_enabled = 1, promql_expression = ?, for_duration_seconds = ?,
		for_ms = ?, keep_firing_for_ms = ?, rule_labels = ?, rule_annotations = ?, updated_at = ? WHERE rule_id = ?`,
		s.Expression, wholeSeconds(s.For), s.For.Milliseconds(), s.KeepFiringFor.Milliseconds(),
		labelText(s.Labels), labelText(s.Annotations), ms(now), row.ID)
	return row, err
}

const ruleVersion = `SELECT version FROM alert_rules WHERE rule_id = ? AND tenant = ?`

// DisableRules implements metadb.Rules.
func (d *DB) DisableRules(ctx context.Context, tn tenant.ID, gone []metadb.RuleVersion, now time.Time) ([]metadb.Outcome, error) {
	return batch(ctx, d, "disable rules", gone, valid, func(t *tx, g metadb.RuleVersion) (metadb.Outcome, error) {
		var enabled bool
		found, err := t.row(`SELECT is_enabled FROM alert_rules WHERE rule_id = ? AND tenant = ? AND version = ?`,
			[]any{g.ID, tn, g.Version}, func(s scanner) error { return s.Scan(&enabled) })
		if err != nil {
			return metadb.Outcome{}, err
		}
		if found && !enabled {
			return metadb.Outcome{Version: g.Version}, nil
		}
		n, err := t.exec(`UPDATE alert_rules SET version = version + 1, is_enabled = 0, updated_at = ?
			WHERE rule_id = ? AND tenant = ? AND version = ?`, ms(now), g.ID, tn, g.Version)
		if err != nil {
			return metadb.Outcome{}, err
		}
		return t.swapped(n, g.Version, ruleVersion, g.ID, tn)
	})
}

// DeleteRule implements metadb.Rules.
func (d *DB) DeleteRule(ctx context.Context, tn tenant.ID, rule metadb.RuleVersion) error {
	return d.write(ctx, fmt.Sprintf("delete rule %s", rule.ID), func(t *tx) error {
		n, err := t.exec(`DELETE FROM alert_rules WHERE rule_id = ? AND tenant = ? AND version = ?`, rule.ID, tn, rule.Version)
		if err != nil {
			return err
		}
		outcome, err := t.swapped(n, rule.Version, ruleVersion, rule.ID, tn)
		if err != nil {
			return err
		}
		return outcome.Err
	})
}

// ListRules implements metadb.Rules.
func (d *DB) ListRules(ctx context.Context, tn tenant.ID, want metadb.RuleFilter) ([]metadb.Rule, error) {
	const what = "list rules"
	var f filter
	f.and("tenant = ?", tn)
	if err := ids(&f, "rule_id", want.IDs); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	f.equal("source", want.Source)
	f.equal("rule_group", want.Group)
	f.equal("rule_name", want.Name)
	f.flag("is_enabled", want.Enabled)
	f.and("rule_id > ?", want.After)
	return list(ctx, d, what, ruleColumns, f, "rule_id", want.Limit, scanRule)
}
