package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"

	format "github.com/nilometer/nilometer/format/backup"
	"github.com/nilometer/nilometer/server"
	"github.com/nilometer/nilometer/tsdb"
	"github.com/nilometer/nilometer/vfs"
)

// snapshotSource is where a backup gets its snapshot from.
type snapshotSource struct {
	streams     Streams
	dir         string // of the data
	server      string // URL; "": from the lock file
	withoutHead bool
}

// taken is a snapshot to copy.
type taken struct {
	dir   string
	about format.Index
}

// drop deletes the snapshot.
func (t *taken) drop() error {
	if err := os.RemoveAll(t.dir); err != nil {
		return fmt.Errorf("delete the snapshot: %w", err)
	}
	return nil
}

// apart refuses backups inside of the data directory.
func (s *snapshotSource) apart(place string) error {
	if place == "" {
		return nil
	}
	data, err := filepath.Abs(s.dir)
	if err != nil {
		return err
	}
	if place, err = filepath.Abs(place); err != nil {
		return err
	}
	if rel, err := filepath.Rel(data, place); err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator)) {
		return usageError{fmt.Errorf("--to=%s lies in the data directory %s: a backup belongs on another disk", place, data)}
	}
	return nil
}

// take makes a snapshot: by the server that runs on the directory, or by
// opening the directory when there is none.
func (s *snapshotSource) take(ctx context.Context) (*taken, error) {
	if s.withoutHead {
		snap, err := tsdb.LinkBlocks(ctx, tsdb.Deps{Dir: s.dir}, s.beside)
		return s.taken(ctx, snap.Name, err)
	}
	db, err := tsdb.OpenIdle(ctx, tsdb.Options{Retention: -1}, tsdb.Deps{Dir: s.dir, Note: "nilometer backup"})
	if errors.Is(err, vfs.ErrLocked) {
		name, serverErr := s.askServer(ctx)
		if serverErr != nil {
			return nil, fmt.Errorf("%w\nthe samples of the last hours can be had from that server alone: %w; or leave them out with --without-head", err, serverErr)
		}
		return s.taken(ctx, name, nil)
	}
	if err != nil {
		return nil, err
	}
	snap, err := db.Snapshot(ctx, tsdb.SnapshotOptions{Beside: s.beside})
	// The snapshot needs no lock: a server may start now.
	return s.taken(ctx, snap.Name, errors.Join(err, db.Close()))
}

func (s *snapshotSource) beside(ctx context.Context, dir string) error {
	return server.CopyBeside(ctx, s.dir, filepath.Join(s.dir, filepath.FromSlash(dir)))
}

// taken describes a snapshot.
func (s *snapshotSource) taken(ctx context.Context, name string, err error) (*taken, error) {
	if err != nil {
		return nil, err
	}
	t := &taken{dir: filepath.Join(s.dir, "snapshots", name)}
	t.about.Head = !s.withoutHead
	if _, err := os.Stat(t.dir); err != nil || name == "" || filepath.Base(name) != name {
		return nil, fmt.Errorf("the server made the snapshot %q, which is not in %s: it runs on another directory; name the right server with --server", name, s.dir)
	}
	blocks, err := tsdb.Blocks(ctx, tsdb.Deps{Dir: t.dir})
	if err != nil {
		return nil, errors.Join(err, t.drop())
	}
	for _, b := range blocks {
		t.about.Blocks++
		t.about.Samples += b.Meta.Stats.Samples
	}
	return t, nil
}

// holder finds the address in the note of a server's lock.
var holder = regexp.MustCompile(`^nilometer on (\S+)`)

// snapshotAnswerMax bounds the answer of a server.
const snapshotAnswerMax = 1 << 20

// askServer has the running server make a snapshot.
func (s *snapshotSource) askServer(ctx context.Context) (name string, err error) {
	base := s.server
	if base == "" {
		note, err := os.ReadFile(filepath.Join(s.dir, "LOCK"))
		if err != nil {
			return "", err
		}
		found := holder.FindSubmatch(note)
		if found == nil {
			return "", fmt.Errorf("its lock file does not say where it listens: name the server with --server")
		}
		base = "http://" + string(found[1])
	}
	url := strings.TrimRight(base, "/") + "/api/v1/admin/tsdb/snapshot"
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, nil)
	if err != nil {
		return "", usageError{fmt.Errorf("--server=%s: %w", s.server, err)}
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", fmt.Errorf("ask %s for a snapshot: %w; name another address with --server", base, err)
	}
	defer resp.Body.Close() //nolint:errcheck // it was only read
	body, err := io.ReadAll(io.LimitReader(resp.Body, snapshotAnswerMax))
	if err != nil {
		return "", fmt.Errorf("ask %s for a snapshot: %w", base, err)
	}
	var answer struct {
		Error string
		Data  struct{ Name string }
	}
	if err := json.Unmarshal(body, &answer); err != nil || resp.StatusCode != http.StatusOK {
		if answer.Error == "" {
			answer.Error = resp.Status
		}
		return "", fmt.Errorf("ask %s for a snapshot: %s", base, answer.Error)
	}
	return answer.Data.Name, nil
}
