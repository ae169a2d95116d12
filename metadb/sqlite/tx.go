package sqlite

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	driver "modernc.org/sqlite"
	code "modernc.org/sqlite/lib"

	"github.com/nilometer/nilometer/metadb"
)

// errDamaged is the gist of what explain says; SQLite's own word follows.
var errDamaged = errors.New("the file is damaged")

// explain adds the way out to errors of SQLite that need one.
func (d *DB) explain(err error) error {
	var failure *driver.Error
	damaged := errors.Is(err, errDamaged)
	if errors.As(err, &failure) {
		switch failure.Code() & 0xff { // the rest is detail
		case code.SQLITE_CORRUPT:
			damaged = true
		case code.SQLITE_NOTADB:
			return fmt.Errorf("the file is no SQLite database, or its beginning is damaged: "+
				"put back a copy, or move it away to start with an empty one (target states and alert history are lost): %w", err)
		case code.SQLITE_FULL:
			return fmt.Errorf("the disk is full: free space on the device of %s: %w", d.path, err)
		case code.SQLITE_BUSY:
			return fmt.Errorf("another program has locked %s for more than %d ms: end it: %w", d.path, busyTimeoutMs, err)
		case code.SQLITE_READONLY:
			return fmt.Errorf("%s cannot be written: check its owner and permissions: %w", d.path, err)
		}
	}
	if damaged {
		return fmt.Errorf("put back a copy of %s, or move it and its -wal and -shm files away to start with an empty one "+
			"(target states and alert history are lost): %w", d.path, err)
	}
	return err
}

// enter admits a call until the returned function is called.
func (d *DB) enter() (leave func(), err error) {
	d.mu.RLock()
	if d.closed {
		d.mu.RUnlock()
		return nil, metadb.ErrClosed
	}
	return d.mu.RUnlock, nil
}

// write runs fn in the one transaction that writes, and commits when it returns
// nil.
func (d *DB) write(ctx context.Context, what string, fn func(tx *tx) error) error {
	leave, err := d.enter()
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	defer leave()
	err = func() error {
		begun, err := d.writer.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		t := &tx{ctx: ctx, tx: begun, stmts: map[string]*sql.Stmt{}}
		if err := fn(t); err != nil {
			return errors.Join(err, ignoreDone(begun.Rollback()))
		}
		return begun.Commit()
	}()
	if err != nil {
		return fmt.Errorf("%s: %w", what, d.explain(err))
	}
	return nil
}

// ignoreDone: a cancelled context has rolled back already.
func ignoreDone(err error) error {
	if errors.Is(err, sql.ErrTxDone) {
		return nil
	}
	return err
}

// tx is a transaction that prepares each statement once.
type tx struct {
	ctx   context.Context
	tx    *sql.Tx
	stmts map[string]*sql.Stmt // closed with the transaction
}

func (t *tx) stmt(query string) (*sql.Stmt, error) {
	if s := t.stmts[query]; s != nil {
		return s, nil
	}
	s, err := t.tx.PrepareContext(t.ctx, query)
	if err == nil {
		t.stmts[query] = s
	}
	return s, err
}

// exec returns the number of rows that were changed.
func (t *tx) exec(query string, args ...any) (int, error) {
	s, err := t.stmt(query)
	if err != nil {
		return 0, err
	}
	result, err := s.ExecContext(t.ctx, args...)
	if err != nil {
		return 0, err
	}
	n, err := result.RowsAffected()
	return int(n), err
}

// row scans the one row of a query; found is false when there is none.
func (t *tx) row(query string, args []any, scan func(scanner) error) (found bool, err error) {
	s, err := t.stmt(query)
	if err != nil {
		return false, err
	}
	err = scan(s.QueryRowContext(t.ctx, args...))
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// scanner is *sql.Row or *sql.Rows.
type scanner interface{ Scan(...any) error }

// swapped tells what became of a compare-and-swap that changed n rows. If none,
// versionQuery with args finds the row's version.
func (t *tx) swapped(n int, version int64, versionQuery string, args ...any) (metadb.Outcome, error) {
	if n == 1 {
		return metadb.Outcome{Version: version + 1}, nil
	}
	var has int64
	found, err := t.row(versionQuery, args, func(s scanner) error { return s.Scan(&has) })
	switch {
	case err != nil:
		return metadb.Outcome{}, err
	case !found:
		return metadb.Outcome{Err: metadb.ErrNotFound}, nil
	}
	return metadb.Outcome{Err: fmt.Errorf("%w: the version is %d, named was %d", metadb.ErrConflict, has, version)}, nil
}

// batch runs one call's items in one transaction. check finds what is invalid
// before anything is written; do applies an item.
func batch[T any](ctx context.Context, d *DB, what string, items []T, check func(T) error,
	do func(t *tx, item T) (metadb.Outcome, error),
) ([]metadb.Outcome, error) {
	if err := metadb.CheckBatch(len(items)); err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	if len(items) == 0 {
		return nil, nil
	}
	outcomes := make([]metadb.Outcome, len(items))
	err := d.write(ctx, what, func(t *tx) error {
		for i, item := range items {
			if err := check(item); err != nil {
				outcomes[i].Err = err
				continue
			}
			var err error
			if outcomes[i], err = do(t, item); err != nil {
				return fmt.Errorf("item %d of %d: %w", i+1, len(items), err)
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	for i := range outcomes {
		if outcomes[i].Err != nil {
			outcomes[i].Err = fmt.Errorf("%s: %w", what, outcomes[i].Err)
		}
	}
	return outcomes, nil
}

func valid[T any](T) error { return nil }

// filter collects the conditions of a list.
type filter struct {
	conds []string
	args  []any
}

func (f *filter) and(cond string, args ...any) {
	f.conds = append(f.conds, cond)
	f.args = append(f.args, args...)
}

// equal adds a condition unless value is empty.
func (f *filter) equal(column, value string) {
	if value != "" {
		f.and(column+" = ?", value)
	}
}

// flag adds a condition unless value is nil.
func (f *filter) flag(column string, value *bool) {
	if value != nil {
		f.and(column+" = ?", *value)
	}
}

// between bounds a time: from inclusive, to exclusive.
func (f *filter) between(column string, from, to time.Time) {
	if !from.IsZero() {
		f.and(column+" >= ?", from.UnixMilli())
	}
	if !to.IsZero() {
		f.and(column+" < ?", to.UnixMilli())
	}
}

// ids adds a condition unless there are none; one argument holds them all.
func ids[ID ~string](f *filter, column string, list []ID) error {
	if len(list) == 0 {
		return nil
	}
	if len(list) > metadb.ListMax {
		return fmt.Errorf("%w: the filter names %d ids, at most %d are allowed", metadb.ErrInvalid, len(list), metadb.ListMax)
	}
	text, err := json.Marshal(list)
	if err != nil {
		return err
	}
	f.and(column+" IN (SELECT value FROM json_each(?))", string(text))
	return nil
}

// list runs a query over the rows that the filter selects.
func list[T any](ctx context.Context, d *DB, what, query string, f filter, order string, limit int, scan func(scanner) (T, error)) ([]T, error) {
	limit, err := metadb.CheckLimit(limit)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	leave, err := d.enter()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	defer leave()
	query += " WHERE " + strings.Join(f.conds, " AND ") + " ORDER BY " + order + " LIMIT ?"
	found, err := func() ([]T, error) {
		rows, err := d.reader.QueryContext(ctx, query, append(f.args, limit)...)
		if err != nil {
			return nil, err
		}
		defer rows.Close()
		var found []T
		for rows.Next() {
			row, err := scan(rows)
			if err != nil {
				return nil, err
			}
			found = append(found, row)
		}
		return found, rows.Err()
	}()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, d.explain(err))
	}
	return found, nil
}

// prune deletes rows of a table that a condition selects, at most limit.
func (d *DB) prune(ctx context.Context, what, table, id, cond string, limit int, args ...any) (int, error) {
	limit, err := metadb.CheckLimit(limit)
	if err != nil {
		return 0, fmt.Errorf("%s: %w", what, err)
	}
	var n int
	err = d.write(ctx, what, func(t *tx) error {
		n, err = t.exec("DELETE FROM "+table+" WHERE "+id+" IN (SELECT "+id+" FROM "+table+" WHERE "+cond+" LIMIT ?)", append(args, limit)...)
		return err
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// instant is a column of milliseconds; NULL is the zero time.
type instant struct{ to *time.Time }

// Scan implements sql.Scanner.
func (c instant) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.to = time.Time{}
	case int64:
		*c.to = time.UnixMilli(v).UTC()
	default:
		return fmt.Errorf("a time is %T, not a count of milliseconds", value)
	}
	return nil
}

// ms returns a time for a column, NULL for the zero time.
func ms(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMilli()
}

// span is a column of a duration in milliseconds; NULL is 0.
type span struct{ to *time.Duration }

// Scan implements sql.Scanner.
func (c span) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.to = 0
	case int64:
		*c.to = time.Duration(v) * time.Millisecond
	default:
		return fmt.Errorf("a duration is %T, not a count of milliseconds", value)
	}
	return nil
}

// wholeSeconds rounds up: a column that keeps whole seconds must not turn 500 ms
// into nothing.
func wholeSeconds(d time.Duration) int64 { return int64((d + time.Second - 1) / time.Second) }

// labelSet is a column of labels in JSON.
type labelSet struct{ to *labels.Labels }

// Scan implements sql.Scanner.
func (c labelSet) Scan(value any) error {
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("a label set is %T, not text", value)
	}
	var m map[string]string
	if err := json.Unmarshal([]byte(text), &m); err != nil {
		return fmt.Errorf("read a label set: %w", err)
	}
	*c.to = labels.FromMap(m)
	return nil
}

// labelText returns the one JSON text of a label set: keys sorted.
func labelText(ls labels.Labels) string {
	text, err := json.Marshal(ls.Map())
	if err != nil {
		panic("a map of strings has no JSON: " + err.Error())
	}
	return string(text)
}

// number is a column of a float; NULL is NaN.
type number struct{ to *float64 }

// Scan implements sql.Scanner.
func (c number) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.to = math.NaN()
	case float64:
		*c.to = v
	case int64: // SQLite stores whole numbers shorter
		*c.to = float64(v)
	default:
		return fmt.Errorf("a value is %T, not a number", value)
	}
	return nil
}

// nan returns a float for a column, NULL for NaN.
func nan(v float64) any {
	if math.IsNaN(v) {
		return nil
	}
	return v
}

// optional is a column of text; NULL is empty.
type optional[T ~string] struct{ to *T }

// Scan implements sql.Scanner.
func (c optional[T]) Scan(value any) error {
	switch v := value.(type) {
	case nil:
		*c.to = ""
	case string:
		*c.to = T(v)
	default:
		return fmt.Errorf("a text is %T", value)
	}
	return nil
}

// text returns a text for a column, NULL for an empty one.
func text[T ~string](s T) any {
	if s == "" {
		return nil
	}
	return string(s)
}
