// Package sqlite is the metadata database in one file, by SQLite without C: what
// a single server uses unless it is told of another.
//
// It owns the file, its schema (numbered migrations in migrations/, applied at
// start, forward only) and the SQL. Names of tables and columns are those of the
// metadata design; a time is a count of milliseconds, a label set a JSON object
// with sorted keys, a NaN is NULL.
//
// How metadb's promises are kept:
//
//   - One connection writes, and every write is one immediate transaction, so
//     compare-and-swap never meets a lock that it cannot upgrade (I2, I4). Others
//     read, each from its own snapshot, and never wait for the writer.
//   - The journal is a write-ahead log with synchronous=FULL: each commit is
//     synced before it is acknowledged (I3). The usual advice, NORMAL, loses the
//     last commits when power fails, and with them versions that somebody was
//     told of.
//   - Batches share one sync: thousands of updates a call cost about as much as
//     one.
//
// The file's I/O is SQLite's own and does not go through vfs; SQLite is tested
// against crashes by its makers. A file that belongs to another program, is
// damaged, or was written by a newer version is refused and left as it is.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/pressly/goose/v3"
	driver "modernc.org/sqlite"

	"github.com/nilometer/nilometer/metadb"
)

const (
	// applicationID marks the file as ours: "NILO".
	applicationID = 0x4e494c4f
	// busyTimeoutMs is how long a write waits for another process, a backup or a
	// shell, that has the file locked.
	busyTimeoutMs = 5000
	// readersMax is the number of connections that read; each may hold 2 MiB of
	// cache.
	readersMax = 4
	// checkMaxBytes is the size up to which a file is checked for damage at
	// start: 64 MiB are read and checked in well under a second.
	checkMaxBytes = 64 << 20
)

//go:embed migrations/*.sql
var migrations embed.FS

// DB is a metadata database in one file.
type DB struct {
	path   string
	writer *sql.DB // of one connection
	reader *sql.DB

	mu     sync.RWMutex // held for reading by every call, for writing by Close
	closed bool         // guarded by mu
}

var _ metadb.DB = (*DB)(nil)

// Open opens the database in the file at path, which is made when it is missing,
// and brings its schema up to date.
func Open(ctx context.Context, path string) (*DB, error) {
	d, err := open(ctx, path)
	if err != nil {
		return nil, fmt.Errorf("open metadata database %s: %w", path, err)
	}
	return d, nil
}

func open(ctx context.Context, path string) (*DB, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if err := checkFile(abs); err != nil {
		return nil, err
	}
	d := &DB{path: abs}
	if err := d.inspect(ctx); err != nil {
		return nil, d.explain(err)
	}
	if err := d.make(ctx); err != nil {
		return nil, d.explain(err)
	}
	if d.writer, err = connect(abs, wal+"&_txlock=immediate&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)", 1); err != nil {
		return nil, err
	}
	if err = d.migrate(ctx); err == nil {
		d.reader, err = connect(abs, wal+"&"+readOnly, readersMax)
	}
	if err != nil {
		return nil, errors.Join(d.explain(err), d.writer.Close())
	}
	return d, nil
}

// Settings of connections.
const (
	wal = "_pragma=journal_mode(WAL)"
	// smallPages counts when the file is made: each of the twenty tables and
	// indexes has a page from the begin on, and most stay that small.
	smallPages = "_pragma=page_size(512)"
	readOnly   = "_pragma=query_only(1)"
)

// checkFile finds what SQLite would answer with a riddle.
func checkFile(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		if dir, err := os.Stat(filepath.Dir(path)); err != nil || !dir.IsDir() {
			return fmt.Errorf("its directory %s does not exist: make it", filepath.Dir(path))
		}
		return nil
	case err != nil:
		return err
	case !info.Mode().IsRegular():
		return errors.New("it is not a file: name a file, or remove what is there")
	}
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	return f.Close()
}

func connect(path, settings string, conns int) (*sql.DB, error) {
	name := filepath.ToSlash(path)
	if !strings.HasPrefix(name, "/") {
		name = "/" + name // a drive letter
	}
	dsn := (&url.URL{Scheme: "file", Path: name}).String() +
		fmt.Sprintf("?_pragma=busy_timeout(%d)&%s", busyTimeoutMs, settings)
	connector, err := driver.NewConnector(dsn)
	if err != nil {
		return nil, err
	}
	db := sql.OpenDB(connector)
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// inspect makes sure that the file is ours, or empty, and sound. It changes
// nothing, not even the kind of journal, because the file may be another's.
func (d *DB) inspect(ctx context.Context) error {
	db, err := connect(d.path, readOnly, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	var id, tables, pages, pageSize int64
	for _, q := range []struct {
		query string
		to    *int64
	}{
		{"PRAGMA application_id", &id},
		{"SELECT count(*) FROM sqlite_master", &tables},
		{"PRAGMA page_count", &pages},
		{"PRAGMA page_size", &pageSize},
	} {
		if err := db.QueryRowContext(ctx, q.query).Scan(q.to); err != nil {
			return fmt.Errorf("read the file's header: %w", err)
		}
	}
	if id != applicationID && (id != 0 || tables != 0) {
		return fmt.Errorf("the file belongs to another program (application id %#x, %d tables and indexes): name another file", id, tables)
	}
	if pages*pageSize > checkMaxBytes {
		return nil
	}
	var found string
	if err := db.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&found); err != nil {
		return fmt.Errorf("check the file for damage: %w", err)
	}
	if found != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, strings.Join(strings.Fields(found), " "))
	}
	return nil
}

// make writes the first page of a file that has none. It is done by a
// connection of its own: the one that writes sets the journal first, and with
// that the size of pages is settled.
func (d *DB) make(ctx context.Context) error {
	db, err := connect(d.path, smallPages, 1)
	if err != nil {
		return err
	}
	defer db.Close()
	var pages int64
	if err := db.QueryRowContext(ctx, "PRAGMA page_count").Scan(&pages); err != nil || pages > 0 {
		return err
	}
	_, err = db.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID))
	return err
}

// migrate marks the file as ours and brings its schema up to date.
func (d *DB) migrate(ctx context.Context) error {
	// The mark comes before any table: without it a file with tables is another's.
	var id int64
	if err := d.writer.QueryRowContext(ctx, "PRAGMA application_id").Scan(&id); err != nil {
		return fmt.Errorf("read the file's header: %w", err)
	}
	if id != applicationID {
		if _, err := d.writer.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d", applicationID)); err != nil {
			return fmt.Errorf("mark the file: %w", err)
		}
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, d.writer, files, goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return fmt.Errorf("read the migrations: %w", err)
	}
	has, err := provider.GetDBVersion(ctx)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	sources := provider.ListSources()
	if knows := sources[len(sources)-1].Version; has > knows {
		return fmt.Errorf("it was written by a newer version of nilometer (its schema is %d, this version knows up to %d): "+
			"start the newer version again, or put back the copy made before the upgrade", has, knows)
	}
	if _, err := provider.Up(ctx); err != nil {
		return fmt.Errorf("migrate from schema %d: %w", has, err)
	}
	return nil
}

// Path returns the absolute path of the database's file.
func (d *DB) Path() string { return d.path }

// Close implements metadb.DB. It moves what is in SQLite's log into the file.
func (d *DB) Close() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		return nil
	}
	d.closed = true
	// Readers first: the last connection to go empties the log.
	if err := errors.Join(d.reader.Close(), d.writer.Close()); err != nil {
		return fmt.Errorf("close metadata database %s: %w", d.path, err)
	}
	return nil
}
