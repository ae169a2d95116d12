// Package manifest keeps the versions of one tenant's manifest in a bucket: it
// is what decides which blocks exist.
//
// A version is an object manifest/<tenant>/<shard>/<number>, created with
// put-if-absent and never changed, deleted or used again. format/manifest has
// its bytes and the rules by which edits apply.
//
// The package promises that a commit is one version, whole or not there,
// however many writers try at once and wherever one of them dies. Callers put
// everything that an edit names (the files of blocks) before they commit it,
// and delete a removed block's files only when no reader can name it.
//
// Invariants:
//
//   - I1: versions are numbered from 1 on without gaps; number n+1 is put only
//     by a writer that has applied n.
//   - I2: when Commit returns nil, the edit is durable and part of Current.
//   - I3: when Commit returns an error that is not ErrUncertain, the edit is
//     in no version and never will be.
package manifest

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nilometer/nilometer/blob"
	format "github.com/nilometer/nilometer/format/manifest"
	"github.com/nilometer/nilometer/model/tenant"
)

// Errors that callers branch on.
var (
	// ErrUncertain: the put failed, and whether the version exists could not be
	// found out; Refresh tells, once the bucket answers again.
	ErrUncertain = errors.New("the outcome of the manifest commit is not known")
	// ErrBusy: other writers won every race.
	ErrBusy = errors.New("other writers keep committing to this manifest")
)

// Limits of one Commit.
const (
	attemptsMax        = 16 // how often it tries again after another writer won
	resolveAttemptsMax = 4  // how often it asks what became of a put
	resolveTimeout     = 30 * time.Second
)

// Current is a version's number and the state it stands for. Number 0 is the
// empty state of a manifest without versions. It must not be changed.
type Current struct {
	Number uint64
	State  format.State
}

// Store reads and writes the manifest of one tenant and shard. Its methods are
// safe for concurrent use, and several stores may work on one bucket.
type Store struct {
	bucket blob.Bucket
	tenant tenant.ID
	shard  uint32

	commit sync.Mutex // held by Commit and Refresh: one walks the versions at a time

	mu      sync.Mutex // guards current
	current Current
}

// Open loads the newest version. A version that cannot be read is an error
// that names its object.
func Open(ctx context.Context, bucket blob.Bucket, id tenant.ID, shard uint32) (*Store, error) {
	if err := id.Validate(); err != nil {
		return nil, fmt.Errorf("open manifest: %w", err)
	}
	s := &Store{bucket: bucket, tenant: id, shard: shard}
	if err := s.load(ctx); err != nil {
		return nil, fmt.Errorf("open manifest of tenant %s, shard %d: %w", id, shard, err)
	}
	return s, nil
}

// Current returns the newest version that this store has seen.
func (s *Store) Current() Current {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.current
}

func (s *Store) set(c Current) {
	s.mu.Lock()
	s.current = c
	s.mu.Unlock()
}

func prefix(id tenant.ID, shard uint32) string {
	return fmt.Sprintf("manifest/%s/%d/", id, shard)
}

// name is the object of a version: numbers are padded, so that the order of
// names is that of versions.
func (s *Store) name(number uint64) string {
	return fmt.Sprintf("%s%020d", prefix(s.tenant, s.shard), number)
}

// load finds the newest version, goes back to the snapshot it stands on and
// applies the edits since.
func (s *Store) load(ctx context.Context) error {
	last, err := s.newest(ctx)
	if err != nil || last == 0 {
		return err
	}
	at := last - last%format.SnapshotEvery
	var c Current
	if at > 0 {
		v, err := s.read(ctx, at)
		if err != nil {
			return err
		}
		if v.Snapshot == nil {
			return fmt.Errorf("read %s: %w: it has no snapshot", s.name(at), format.ErrDamaged)
		}
		c = Current{Number: at, State: *v.Snapshot}
	}
	for c.Number < last {
		v, err := s.read(ctx, c.Number+1)
		if err != nil {
			return err
		}
		if c, err = s.apply(c, v); err != nil {
			return err
		}
	}
	s.set(c)
	return nil
}

// newest lists the versions; the bucket lists in order of names.
func (s *Store) newest(ctx context.Context) (uint64, error) {
	p := prefix(s.tenant, s.shard)
	var last uint64
	err := s.bucket.List(ctx, p, "", func(i blob.Info) error {
		n, err := strconv.ParseUint(strings.TrimPrefix(i.Name, p), 10, 64)
		if err != nil || n == 0 || i.Name != s.name(n) {
			return fmt.Errorf("%s is no name of a manifest version: move the object away", i.Name)
		}
		last = n
		return nil
	})
	return last, err
}

func (s *Store) read(ctx context.Context, number uint64) (format.Version, error) {
	name := s.name(number)
	b, err := s.bucket.Get(ctx, name)
	if err != nil {
		return format.Version{}, fmt.Errorf("read %s: %w", name, err)
	}
	v, err := format.DecodeVersion(b)
	if err != nil {
		return format.Version{}, fmt.Errorf("read %s: %w", name, err)
	}
	if v.Tenant != s.tenant || v.Shard != s.shard || v.Number != number {
		return format.Version{}, fmt.Errorf("read %s: %w: it says that it is version %d of tenant %s, shard %d",
			name, format.ErrDamaged, v.Number, v.Tenant, v.Shard)
	}
	return v, nil
}

func (s *Store) apply(c Current, v format.Version) (Current, error) {
	state, err := c.State.Apply(v.Edit)
	if err != nil {
		return Current{}, fmt.Errorf("read %s: %w: %w", s.name(v.Number), format.ErrDamaged, err)
	}
	return Current{Number: v.Number, State: state}, nil
}

// Refresh takes over versions that other writers have put since.
func (s *Store) Refresh(ctx context.Context) (Current, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	return s.catchUpLocked(ctx)
}

// catchUpLocked reads version after version until one is missing (I1).
func (s *Store) catchUpLocked(ctx context.Context) (Current, error) {
	c := s.Current()
	for {
		v, err := s.read(ctx, c.Number+1)
		if errors.Is(err, blob.ErrNotFound) {
			return c, nil
		}
		if err != nil {
			return c, err
		}
		if c, err = s.apply(c, v); err != nil {
			return s.Current(), err
		}
		s.set(c)
	}
}

// Commit puts one edit as the next version and returns the state after it.
// plan is called with the newest state and returns the edit (its ID is filled
// in); it is called again when another writer was faster, so it must depend on
// its argument alone. An empty edit commits nothing. When plan fails, so does
// Commit, with the same error; an edit that does not apply fails with a
// *format.ConflictError; ErrUncertain when the bucket lost the answer.
func (s *Store) Commit(ctx context.Context, plan func(Current) (format.Edit, error)) (Current, error) {
	s.commit.Lock()
	defer s.commit.Unlock()
	c := s.Current()
	for range attemptsMax {
		e, err := plan(c)
		if err != nil || e.Empty() {
			return c, err
		}
		if ctx.Err() != nil { // before the put: after it, it is seen through
			return c, fmt.Errorf("commit to the manifest of tenant %s, shard %d: %w", s.tenant, s.shard, context.Cause(ctx))
		}
		e.ID = rand.Text()
		next, err := s.put(ctx, c, e)
		if err == nil {
			s.set(next)
			return next, nil
		}
		if !errors.Is(err, blob.ErrExists) {
			return c, err
		}
		if c, err = s.catchUpLocked(ctx); err != nil {
			return c, err
		}
	}
	return c, fmt.Errorf("commit to the manifest of tenant %s, shard %d: %w (%d attempts): try again later",
		s.tenant, s.shard, ErrBusy, attemptsMax)
}

// put writes version c.Number+1. It fails with blob.ErrExists when another
// writer's version has that number.
func (s *Store) put(ctx context.Context, c Current, e format.Edit) (Current, error) {
	next := Current{Number: c.Number + 1}
	var err error
	if next.State, err = c.State.Apply(e); err != nil {
		return c, err
	}
	v := format.Version{Tenant: s.tenant, Shard: s.shard, Number: next.Number, Edit: e}
	if next.Number%format.SnapshotEvery == 0 {
		v.Snapshot = &next.State
	}
	b, err := format.AppendVersion(nil, v)
	if err != nil {
		return c, err
	}
	name := s.name(next.Number)
	err = s.bucket.PutIfAbsent(ctx, name, bytes.NewReader(b), int64(len(b)))
	if err == nil {
		return next, nil
	}
	return next, s.resolve(ctx, name, e.ID, b, err)
}

// resolve finds out what became of a put that did not answer with success:
// nil when the version is ours after all (a bucket that retried by itself
// answers "exists" to its own success), blob.ErrExists when it is another
// writer's. After any other answer the same bytes are put again: that we can
// read a version does not mean that it is durable, the answer of a put does.
func (s *Store) resolve(ctx context.Context, name, id string, version []byte, putErr error) error {
	// The outcome is needed all the more when the caller went away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), resolveTimeout)
	defer cancel()
	first := putErr
	for range resolveAttemptsMax {
		if !errors.Is(putErr, blob.ErrExists) {
			if putErr = s.bucket.PutIfAbsent(ctx, name, bytes.NewReader(version), int64(len(version))); putErr == nil {
				return nil
			}
			continue
		}
		b, err := s.bucket.Get(ctx, name)
		if err != nil {
			continue
		}
		v, err := format.DecodeVersion(b)
		if err != nil {
			return fmt.Errorf("read back %s: %w", name, err)
		}
		if v.Edit.ID == id {
			return nil
		}
		return fmt.Errorf("put %s: %w", name, blob.ErrExists)
	}
	return fmt.Errorf("put %s: %w: %w", name, ErrUncertain, first)
}
