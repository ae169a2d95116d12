-- +goose Up

-- Times (…_at) are milliseconds since 1970 in UTC; label sets are JSON objects
-- with sorted keys; booleans are 0 and 1.

CREATE TABLE monitored_targets (
    target_id               TEXT    NOT NULL PRIMARY KEY,
    tenant                  TEXT    NOT NULL,
    version                 INTEGER NOT NULL DEFAULT 1,
    job_name                TEXT    NOT NULL,
    target_url              TEXT    NOT NULL,
    scrape_interval_seconds INTEGER NOT NULL DEFAULT 15,
    scrape_timeout_seconds  INTEGER NOT NULL DEFAULT 10,
    interval_ms             INTEGER NOT NULL DEFAULT 15000,
    timeout_ms              INTEGER NOT NULL DEFAULT 10000,
    static_labels           TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(static_labels)),
    is_active               INTEGER NOT NULL DEFAULT 1 CHECK (is_active IN (0, 1)),
    last_scraped_at         INTEGER,
    last_scrape_status      TEXT    NOT NULL DEFAULT 'UNKNOWN'
        CHECK (last_scrape_status IN ('UNKNOWN', 'UP', 'DOWN', 'TIMEOUT', 'PARSE_ERROR', 'OVERLIMIT')),
    last_scrape_duration_ms INTEGER,
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL
);
CREATE UNIQUE INDEX idx_targets_key ON monitored_targets (tenant, job_name, target_url, static_labels);
CREATE INDEX idx_targets_job_status ON monitored_targets (job_name, is_active);

CREATE TABLE alert_rules (
    rule_id              TEXT    NOT NULL PRIMARY KEY,
    tenant               TEXT    NOT NULL,
    version              INTEGER NOT NULL DEFAULT 1,
    source               TEXT    NOT NULL,
    rule_group           TEXT    NOT NULL,
    rule_name            TEXT    NOT NULL,
    position             INTEGER NOT NULL,
    promql_expression    TEXT    NOT NULL,
    for_duration_seconds INTEGER NOT NULL,
    for_ms               INTEGER NOT NULL,
    keep_firing_for_ms   INTEGER NOT NULL DEFAULT 0,
    rule_labels          TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(rule_labels)),
    rule_annotations     TEXT    NOT NULL DEFAULT '{}' CHECK (json_valid(rule_annotations)),
    is_enabled           INTEGER NOT NULL DEFAULT 1 CHECK (is_enabled IN (0, 1)),
    created_at           INTEGER NOT NULL,
    updated_at           INTEGER NOT NULL
);
CREATE UNIQUE INDEX idx_rules_key ON alert_rules (tenant, source, rule_group, rule_name, position);

CREATE TABLE alert_states (
    rule_id            TEXT    NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    fingerprint        TEXT    NOT NULL,
    tenant             TEXT    NOT NULL,
    version            INTEGER NOT NULL DEFAULT 1,
    state              TEXT    NOT NULL CHECK (state IN ('inactive', 'pending', 'firing')),
    alert_labels       TEXT    NOT NULL CHECK (json_valid(alert_labels)),
    annotations        TEXT    NOT NULL CHECK (json_valid(annotations)),
    value              REAL, -- NULL is NaN, which SQLite does not know
    active_at          INTEGER,
    fired_at           INTEGER,
    resolved_at        INTEGER,
    last_sent_at       INTEGER,
    keep_firing_since  INTEGER,
    last_evaluation_at INTEGER,
    PRIMARY KEY (rule_id, fingerprint)
) WITHOUT ROWID;

CREATE TABLE fired_alerts (
    alert_id             TEXT    NOT NULL PRIMARY KEY,
    tenant               TEXT    NOT NULL,
    version              INTEGER NOT NULL DEFAULT 1,
    rule_id              TEXT    NOT NULL REFERENCES alert_rules ON DELETE CASCADE,
    instance_name        TEXT    NOT NULL,
    alert_status         TEXT    NOT NULL DEFAULT 'FIRING' CHECK (alert_status IN ('FIRING', 'RESOLVED')),
    fingerprint          TEXT    NOT NULL,
    alert_labels         TEXT    NOT NULL CHECK (json_valid(alert_labels)),
    started_at           INTEGER NOT NULL,
    resolved_at          INTEGER,
    silenced_by          TEXT,
    resolved_by          TEXT    DEFAULT 'SYSTEM' CHECK (resolved_by IN ('SYSTEM', 'MANUAL')),
    rule_name            TEXT    NOT NULL,
    promql_expression    TEXT    NOT NULL,
    annotations          TEXT    NOT NULL CHECK (json_valid(annotations)),
    value                REAL, -- NULL is NaN, which SQLite does not know
    acknowledged_by      TEXT,
    acknowledged_at      INTEGER,
    acknowledged_comment TEXT
);
CREATE UNIQUE INDEX idx_fired_alerts_fingerprint ON fired_alerts (tenant, rule_id, fingerprint) WHERE alert_status = 'FIRING';
CREATE INDEX idx_fired_alerts_history ON fired_alerts (started_at DESC, alert_status);
CREATE INDEX idx_fired_alerts_rule ON fired_alerts (rule_id, started_at DESC);

CREATE TABLE notifications (
    notification_id TEXT    NOT NULL PRIMARY KEY,
    tenant          TEXT    NOT NULL,
    version         INTEGER NOT NULL DEFAULT 1,
    group_key       TEXT    NOT NULL,
    receiver        TEXT    NOT NULL,
    integration     TEXT    NOT NULL,
    alerts          TEXT    NOT NULL CHECK (json_valid(alerts)),
    attempt         INTEGER NOT NULL,
    outcome         TEXT    NOT NULL CHECK (outcome IN ('SENT', 'FAILED', 'RETRY', 'DROPPED')),
    error           TEXT    NOT NULL DEFAULT '',
    at              INTEGER NOT NULL
);
CREATE INDEX idx_notifications_history ON notifications (at DESC, outcome);
