package sqlite

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nilometer/nilometer/metadb"
	"github.com/nilometer/nilometer/model/tenant"
)

const notificationColumns = `SELECT notification_id, tenant, version, group_key, receiver, integration, alerts, attempt, outcome, error, at
	FROM notifications`

func scanNotification(s scanner) (metadb.Notification, error) {
	var n metadb.Notification
	var alerts string
	if err := s.Scan(&n.ID, &n.Tenant, &n.Version, &n.GroupKey, &n.Receiver, &n.Integration, &alerts, &n.Attempt, &n.Outcome, &n.Error,
		instant{&n.At}); err != nil {
		return n, err
	}
	if err := json.Unmarshal([]byte(alerts), &n.Alerts); err != nil {
		return n, fmt.Errorf("read the alerts of notification %s: %w", n.ID, err)
	}
	return n, nil
}

// AppendNotifications implements metadb.Notifications.
func (d *DB) AppendNotifications(ctx context.Context, tn tenant.ID, attempts []metadb.Notification) ([]metadb.Outcome, error) {
	return batch(ctx, d, "append notifications", attempts, metadb.Notification.Validate, func(t *tx, n metadb.Notification) (metadb.Outcome, error) {
		alerts, err := json.Marshal(append([]string{}, n.Alerts...)) // [] rather than null
		if err != nil {
			return metadb.Outcome{}, err
		}
		if _, err := t.exec(`INSERT INTO notifications (notification_id, tenant, group_key, receiver, integration, alerts, attempt,
			outcome, error, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`, n.ID, tn, n.GroupKey, n.Receiver,
			n.Integration, string(alerts), n.Attempt, n.Outcome, n.CutError(), ms(n.At)); err != nil {
			return metadb.Outcome{}, err
		}
		var has int64
		found, err := t.row(`SELECT version FROM notifications WHERE notification_id = ? AND tenant = ?`, []any{n.ID, tn},
			func(s scanner) error { return s.Scan(&has) })
		if err == nil && !found {
			return metadb.Outcome{Err: fmt.Errorf("%w: the id %s is taken", metadb.ErrConflict, n.ID)}, nil
		}
		return metadb.Outcome{Version: has}, err
	})
}

// ListNotifications implements metadb.Notifications.
func (d *DB) ListNotifications(ctx context.Context, tn tenant.ID, want metadb.NotificationFilter) ([]metadb.Notification, error) {
	var f filter
	f.and("tenant = ?", tn)
	f.equal("group_key", want.GroupKey)
	f.equal("receiver", want.Receiver)
	f.equal("outcome", string(want.Outcome))
	f.between("at", want.From, want.To)
	if b := want.Before; b != nil {
		f.and("(at, notification_id) < (?, ?)", b.At.UnixMilli(), b.ID)
	}
	return list(ctx, d, "list notifications", notificationColumns, f, "at DESC, notification_id DESC", want.Limit, scanNotification)
}

// PruneNotifications implements metadb.Notifications.
func (d *DB) PruneNotifications(ctx context.Context, tn tenant.ID, before time.Time, limit int) (int, error) {
	return d.prune(ctx, "prune notifications", "notifications", "notification_id", "tenant = ? AND at < ?", limit, tn, before.UnixMilli())
}
