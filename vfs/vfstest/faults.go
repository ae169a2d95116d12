// Package vfstest tests file systems and what stands on them: Run is the
// conformance suite of vfs; FS wraps a file system, counts its mutating
// operations, stops it at any of them, fails or slows them; EveryCrash runs a
// workload once per operation, cuts the power there, and lets a check look at
// what is left.
//
// Only operations that change something count: create, write, sync, link,
// rename, remove, truncate, mkdir, syncdir. Reads are passed on, also after the
// stop.
package vfstest

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nilometer/nilometer/vfs"
)

// ErrStopped is what every mutating operation returns from the stop on.
var ErrStopped = errors.New("the file system was stopped by the test")

// opsMax bounds the operations that are remembered for Ops; counting goes on.
const opsMax = 100_000

// Kind is a kind of mutating operation.
type Kind string

// The kinds of operations.
const (
	Create   Kind = "create"
	Write    Kind = "write"
	Sync     Kind = "sync"
	Link     Kind = "link"
	Rename   Kind = "rename"
	Remove   Kind = "remove" // Remove and RemoveAll
	Truncate Kind = "truncate"
	Mkdir    Kind = "mkdir"
	SyncDir  Kind = "syncdir"
	Lock     Kind = "lock"
)

// Op is a mutating operation.
type Op struct {
	N    int // from 1
	Kind Kind
	Name string
	To   string // of a link or rename
	Size int64  // bytes of a write, new size of a truncate
}

// String returns the operation in one line.
func (o Op) String() string {
	s := fmt.Sprintf("%d %s %s", o.N, o.Kind, o.Name)
	switch o.Kind {
	case Link, Rename:
		s += " to " + o.To
	case Write, Truncate:
		s += fmt.Sprintf(" %d bytes", o.Size)
	}
	return s
}

// FS passes everything on to a file system, and interferes as it is told. The
// functions given to it are called one at a time.
type FS struct {
	inner vfs.FS

	mu      sync.Mutex // guards all below
	count   int
	ops     []Op
	stopAt  int
	rng     *rand.Rand // decides about the operation at the stop
	stopped bool
	fail    func(Op) error
	delay   func(Op) time.Duration
}

var _ vfs.FS = (*FS)(nil)

// New wraps a file system.
func New(inner vfs.FS) *FS { return &FS{inner: inner} }

// StopAt stops the file system at operation n, counted from 1: by the seed, that
// one happens, does not, or, for a write, happens in part; it and all later ones
// return ErrStopped. 0: never.
func (f *FS) StopAt(n int, seed uint64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopAt, f.rng = n, rand.New(rand.NewPCG(seed, uint64(n)))
}

// Stop stops the file system now, between two operations.
func (f *FS) Stop() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stopped = true
}

// Stopped reports whether the stop has been reached.
func (f *FS) Stopped() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stopped
}

// Fail makes operations fail for which fn returns an error, such as vfs.ErrFull
// on writes or syscall.EIO on syncs; nil ends that. A failing write has written
// half of its bytes; another operation has done nothing. A file whose write or
// sync failed refuses both from then on.
func (f *FS) Fail(fn func(Op) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.fail = fn
}

// FailAt makes operation n, counted from 1, fail with err.
func (f *FS) FailAt(n int, err error) {
	f.Fail(func(op Op) error {
		if op.N == n {
			return err
		}
		return nil
	})
}

// FailKind makes every operation of a kind on a name that contains part fail
// with err.
func (f *FS) FailKind(kind Kind, part string, err error) {
	f.Fail(func(op Op) error {
		if op.Kind == kind && strings.Contains(op.Name, part) {
			return err
		}
		return nil
	})
}

// Delay makes operations wait before they begin; nil ends that.
func (f *FS) Delay(fn func(Op) time.Duration) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.delay = fn
}

// Count returns the number of operations so far.
func (f *FS) Count() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.count
}

// Ops returns the operations so far, the first 100,000 at most.
func (f *FS) Ops() []Op {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.ops)
}

// verdict is what becomes of an operation.
type verdict struct {
	err  error   // returned; nil: as the file system says
	part float64 // of the operation that happens when err is set: 0 nothing, 1 all
}

// begin counts an operation and decides about it.
func (f *FS) begin(op Op) verdict {
	f.mu.Lock()
	if f.stopped {
		f.mu.Unlock()
		return verdict{err: &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: ErrStopped}}
	}
	f.count++
	op.N = f.count
	if len(f.ops) < opsMax {
		f.ops = append(f.ops, op)
	}
	var v verdict
	var wait time.Duration
	switch {
	case op.N == f.stopAt:
		f.stopped = true
		v = verdict{err: &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: ErrStopped}, part: f.rng.Float64()}
	case f.fail != nil:
		if err := f.fail(op); err != nil {
			v = verdict{err: &fs.PathError{Op: string(op.Kind), Path: op.Name, Err: err}}
			if op.Kind == Write {
				v.part = 0.5
			}
		}
	}
	if f.delay != nil {
		wait = f.delay(op)
	}
	f.mu.Unlock()
	if wait > 0 {
		time.Sleep(wait)
	}
	return v
}

// do runs an operation that happens whole or not at all.
func (f *FS) do(op Op, run func() error) error {
	v := f.begin(op)
	if v.err == nil {
		return run()
	}
	if v.part >= 0.5 {
		return errors.Join(v.err, ignore(run()))
	}
	return v.err
}

// ignore drops the error of what happened behind the caller's back.
func ignore(error) error { return nil }

// Create implements vfs.FS.
func (f *FS) Create(name string) (vfs.File, error) {
	var made vfs.File
	err := f.do(Op{Kind: Create, Name: name}, func() (err error) {
		made, err = f.inner.Create(name)
		return err
	})
	return f.wrap(name, made, err)
}

// OpenAppend implements vfs.FS.
func (f *FS) OpenAppend(name string) (vfs.File, error) {
	opened, err := f.inner.OpenAppend(name)
	return f.wrap(name, opened, err)
}

// Open implements vfs.FS.
func (f *FS) Open(name string) (vfs.File, error) {
	opened, err := f.inner.Open(name)
	return f.wrap(name, opened, err)
}

func (f *FS) wrap(name string, opened vfs.File, err error) (vfs.File, error) {
	if err == nil {
		return &file{fs: f, name: name, File: opened}, nil
	}
	if opened != nil {
		return nil, errors.Join(err, opened.Close())
	}
	return nil, err
}

// Map implements vfs.FS.
func (f *FS) Map(name string) (vfs.Mapping, error) { return f.inner.Map(name) }

// Link implements vfs.FS.
func (f *FS) Link(oldname, newname string) error {
	return f.do(Op{Kind: Link, Name: oldname, To: newname}, func() error { return f.inner.Link(oldname, newname) })
}

// Rename implements vfs.FS.
func (f *FS) Rename(oldname, newname string) error {
	return f.do(Op{Kind: Rename, Name: oldname, To: newname}, func() error { return f.inner.Rename(oldname, newname) })
}

// Remove implements vfs.FS.
func (f *FS) Remove(name string) error {
	return f.do(Op{Kind: Remove, Name: name}, func() error { return f.inner.Remove(name) })
}

// RemoveAll implements vfs.FS.
func (f *FS) RemoveAll(name string) error {
	return f.do(Op{Kind: Remove, Name: name}, func() error { return f.inner.RemoveAll(name) })
}

// Truncate implements vfs.FS.
func (f *FS) Truncate(name string, sizeBytes int64) error {
	return f.do(Op{Kind: Truncate, Name: name, Size: sizeBytes}, func() error { return f.inner.Truncate(name, sizeBytes) })
}

// MkdirAll implements vfs.FS.
func (f *FS) MkdirAll(dir string) error {
	return f.do(Op{Kind: Mkdir, Name: dir}, func() error { return f.inner.MkdirAll(dir) })
}

// SyncDir implements vfs.FS.
func (f *FS) SyncDir(dir string) error {
	return f.do(Op{Kind: SyncDir, Name: dir}, func() error { return f.inner.SyncDir(dir) })
}

// Lock implements vfs.FS.
func (f *FS) Lock(name, note string) (io.Closer, error) {
	var held io.Closer
	err := f.do(Op{Kind: Lock, Name: name}, func() (err error) {
		held, err = f.inner.Lock(name, note)
		return err
	})
	if err != nil && held != nil {
		err = errors.Join(err, held.Close())
		held = nil
	}
	return held, err
}

// List implements vfs.FS.
func (f *FS) List(dir string) ([]string, error) { return f.inner.List(dir) }

// Stat implements vfs.FS.
func (f *FS) Stat(name string) (fs.FileInfo, error) { return f.inner.Stat(name) }

// Usage implements vfs.FS.
func (f *FS) Usage() (vfs.Usage, error) { return f.inner.Usage() }

// file is an open file whose writes and syncs count.
type file struct {
	vfs.File
	fs     *FS
	name   string
	failed error // injected before; nothing is written any more
}

// Write implements vfs.File.
func (f *file) Write(p []byte) (int, error) {
	if f.failed != nil {
		return 0, f.failed
	}
	v := f.fs.begin(Op{Kind: Write, Name: f.name, Size: int64(len(p))})
	if v.err == nil {
		return f.File.Write(p)
	}
	f.failed = v.err
	n, err := f.File.Write(p[:int(v.part*float64(len(p)+1))])
	return n, errors.Join(v.err, ignore(err))
}

// Sync implements vfs.File.
func (f *file) Sync() error {
	if f.failed != nil {
		return f.failed
	}
	v := f.fs.begin(Op{Kind: Sync, Name: f.name})
	if v.err == nil {
		return f.File.Sync()
	}
	f.failed = v.err
	if v.part >= 0.5 {
		return errors.Join(v.err, ignore(f.File.Sync()))
	}
	return v.err
}
