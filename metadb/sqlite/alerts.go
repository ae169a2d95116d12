package sqlite

import (
	"context"
	"fmt"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

const stateColumns = `SELECT rule_id, fingerprint, tenant, version, state, alert_labels, annotations, value, active_at, fired_at,
	resolved_at, last_sent_at, keep_firing_since, last_evaluation_at FROM alert_states`

func scanState(s scanner) (metadb.AlertState, error) {
	var a metadb.AlertState
	err := s.Scan(&a.Rule, &a.Fingerprint, &a.Tenant, &a.Version, &a.State, labelSet{&a.Labels}, labelSet{&a.Annotations}, number{&a.Value},
		instant{&a.ActiveAt}, instant{&a.FiredAt}, instant{&a.ResolvedAt}, instant{&a.LastSentAt}, instant{&a.KeepFiringSince},
		instant{&a.LastEvaluationAt})
	return a, err
}

// LoadAlertStates implements metadb.Alerts.
func (d *DB) LoadAlertStates(ctx context.Context, tn tenant.ID, rule metadb.RuleID, after string, limit int) ([]metadb.AlertState, error) {
	var f filter
	f.and("rule_id = ? AND tenant = ? AND fingerprint > ?", rule, tn, after)
	return list(ctx, d, fmt.Sprintf("load alert states of rule %s", rule), stateColumns, f, "fingerprint", limit, scanState)
}

const stateVersion = `SELECT version FROM alert_states WHERE rule_id = ? AND fingerprint = ? AND tenant = ?`

// SaveAlertStates implements metadb.Alerts.
func (d *DB) SaveAlertStates(ctx context.Context, tn tenant.ID, states []metadb.AlertState) ([]metadb.Outcome, error) {
	return batch(ctx, d, "save alert states", states, metadb.AlertState.Validate, func(t *tx, a metadb.AlertState) (metadb.Outcome, error) {
		content := []any{a.State, labelText(a.Labels), labelText(a.Annotations), nan(a.Value), ms(a.ActiveAt), ms(a.FiredAt),
			ms(a.ResolvedAt), ms(a.LastSentAt), ms(a.KeepFiringSince), ms(a.LastEvaluationAt)}
		if a.Version == 0 {
			return insertState(t, tn, a, content)
		}
		n, err := t.exec(`UPDATE alert_states SET version = version + 1, state = ?, alert_labels = ?, annotations = ?, value = ?,
			active_at = ?, fired_at = ?, resolved_at = ?, last_sent_at = ?, keep_firing_since = ?, last_evaluation_at = ?
			WHERE rule_id = ? AND fingerprint = ? AND tenant = ? AND version = ?`,
			append(content, a.Rule, a.Fingerprint, tn, a.Version)...)
		if err != nil {
			return metadb.Outcome{}, err
		}
		return t.swapped(n, a.Version, stateVersion, a.Rule, a.Fingerprint, tn)
	})
}

func insertState(t *tx, tn tenant.ID, a metadb.AlertState, content []any) (metadb.Outcome, error) {
	if missing, err := ruleMissing(t, tn, a.Rule); missing != nil || err != nil {
		return metadb.Outcome{Err: missing}, err
	}
	n, err := t.exec(`INSERT INTO alert_states (state, alert_labels, annotations, value, active_at, fired_at, resolved_at,
		last_sent_at, keep_firing_since, last_evaluation_at, rule_id, fingerprint, tenant)
		VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, append(content, a.Rule, a.Fingerprint, tn)...)
	if err != nil {
		return metadb.Outcome{}, err
	}
	return t.swapped(n, 0, stateVersion, a.Rule, a.Fingerprint, tn)
}

// ruleMissing returns what the item's outcome says when the tenant has no such
// rule, or nil.
func ruleMissing(t *tx, tn tenant.ID, rule metadb.RuleID) (missing, err error) {
	found, err := t.row(ruleVersion, []any{rule, tn}, func(s scanner) error {
		var version int64
		return s.Scan(&version)
	})
	if err == nil && !found {
		missing = fmt.Errorf("%w: rule %q", metadb.ErrNotFound, rule)
	}
	return missing, err
}

// DeleteAlertStates implements metadb.Alerts.
func (d *DB) DeleteAlertStates(ctx context.Context, tn tenant.ID, states []metadb.AlertStateVersion) ([]metadb.Outcome, error) {
	return batch(ctx, d, "delete alert states", states, valid, func(t *tx, a metadb.AlertStateVersion) (metadb.Outcome, error) {
		n, err := t.exec(`DELETE FROM alert_states WHERE rule_id = ? AND fingerprint = ? AND tenant = ? AND version = ?`,
			a.Rule, a.Fingerprint, tn, a.Version)
		if err != nil {
			return metadb.Outcome{}, err
		}
		outcome, err := t.swapped(n, a.Version, stateVersion, a.Rule, a.Fingerprint, tn)
		outcome.Version = 0
		return outcome, err
	})
}

const alertColumns = `SELECT alert_id, tenant, version, rule_id, instance_name, alert_status, fingerprint, alert_labels, started_at,
	resolved_at, silenced_by, CASE alert_status WHEN 'RESOLVED' THEN resolved_by END, rule_name, promql_expression, annotations, value,
	acknowledged_by, acknowledged_at, acknowledged_comment FROM fired_alerts`

func scanAlert(s scanner) (metadb.FiredAlert, error) {
	var a metadb.FiredAlert
	err := s.Scan(&a.ID, &a.Tenant, &a.Version, &a.Rule, &a.InstanceName, &a.Status, &a.Fingerprint, labelSet{&a.Labels},
		instant{&a.StartedAt}, instant{&a.ResolvedAt}, optional[string]{&a.SilencedBy}, optional[metadb.Resolver]{&a.ResolvedBy},
		&a.RuleName, &a.Expression, labelSet{&a.Annotations}, number{&a.Value}, optional[string]{&a.AcknowledgedBy},
		instant{&a.AcknowledgedAt}, optional[string]{&a.AcknowledgedComment})
	return a, err
}

const alertVersion = `SELECT version FROM fired_alerts WHERE alert_id = ? AND tenant = ?`

// FireAlerts implements metadb.Alerts.
func (d *DB) FireAlerts(ctx context.Context, tn tenant.ID, alerts []metadb.FiredAlert) ([]metadb.Outcome, error) {
	return batch(ctx, d, "fire alerts", alerts, metadb.FiredAlert.Validate, func(t *tx, a metadb.FiredAlert) (metadb.Outcome, error) {
		var has int64
		found, err := t.row(alertVersion, []any{a.ID, tn}, func(s scanner) error { return s.Scan(&has) })
		if err != nil || found {
			return metadb.Outcome{Version: has}, err
		}
		if missing, err := ruleMissing(t, tn, a.Rule); missing != nil || err != nil {
			return metadb.Outcome{Err: missing}, err
		}
		n, err := t.exec(`INSERT INTO fired_alerts (alert_id, tenant, rule_id, instance_name, fingerprint, alert_labels, started_at,
			rule_name, promql_expression, annotations, value) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
			a.ID, tn, a.Rule, a.InstanceName, a.Fingerprint, labelText(a.Labels), ms(a.StartedAt),
			a.RuleName, a.Expression, labelText(a.Annotations), nan(a.Value))
		switch {
		case err != nil:
			return metadb.Outcome{}, err
		case n == 0:
			return metadb.Outcome{Err: fmt.Errorf("%w: an alert of rule %s with fingerprint %s is firing already", metadb.ErrConflict, a.Rule, a.Fingerprint)}, nil
		}
		return metadb.Outcome{Version: 1}, nil
	})
}

// ChangeAlerts implements metadb.Alerts.
func (d *DB) ChangeAlerts(ctx context.Context, tn tenant.ID, changes []metadb.AlertChange) ([]metadb.Outcome, error) {
	return batch(ctx, d, "change alerts", changes, metadb.AlertChange.Validate, func(t *tx, c metadb.AlertChange) (metadb.Outcome, error) {
		query := `UPDATE fired_alerts SET version = version + 1`
		var args []any
		cond := ` WHERE alert_id = ? AND tenant = ? AND version = ?`
		if r := c.Resolve; r != nil {
			query += `, alert_status = 'RESOLVED', resolved_at = ?, resolved_by = ?`
			args = append(args, ms(r.At), r.By)
			cond += ` AND alert_status = 'FIRING'`
		}
		if s := c.SilencedBy; s != nil {
			query += `, silenced_by = ?`
			args = append(args, text(*s))
		}
		if a := c.Acknowledge; a != nil {
			if a.By == "" {
				a = &metadb.Acknowledgement{}
			}
			query += `, acknowledged_by = ?, acknowledged_at = ?, acknowledged_comment = ?`
			args = append(args, text(a.By), ms(a.At), text(a.Comment))
		}
		n, err := t.exec(query+cond, append(args, c.ID, tn, c.Version)...)
		if err != nil {
			return metadb.Outcome{}, err
		}
		return t.swapped(n, c.Version, alertVersion, c.ID, tn)
	})
}

// ListAlerts implements metadb.Alerts.
func (d *DB) ListAlerts(ctx context.Context, tn tenant.ID, want metadb.AlertFilter) ([]metadb.FiredAlert, error) {
	const what = "list alerts"
	var f filter
	f.and("tenant = ?", tn)
	if err := ids(&f, "alert_id", want.IDs); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	f.equal("rule_id", string(want.Rule))
	f.equal("fingerprint", want.Fingerprint)
	f.equal("alert_status", string(want.Status))
	f.between("started_at", want.From, want.To)
	if b := want.Before; b != nil {
		f.and("(started_at, alert_id) < (?, ?)", b.StartedAt.UnixMilli(), b.ID)
	}
	return list(ctx, d, what, alertColumns, f, "started_at DESC, alert_id DESC", want.Limit, scanAlert)
}

// PruneAlerts implements metadb.Alerts.
func (d *DB) PruneAlerts(ctx context.Context, tn tenant.ID, before time.Time, limit int) (int, error) {
	return d.prune(ctx, "prune alerts", "fired_alerts", "alert_id",
		"tenant = ? AND alert_status = 'RESOLVED' AND resolved_at < ?", limit, tn, before.UnixMilli())
}
