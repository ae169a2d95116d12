package osfs

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/nilometer/nilometer/vfs"
)

// noteMax bounds a lock's note, in bytes.
const noteMax = 512

// Note says which process this is: its number and its command line, for Lock.
func Note() string {
	return fmt.Sprintf("process %d: %s", os.Getpid(), strings.Join(os.Args, " "))
}

// Lock implements vfs.FS with an advisory lock that ends with the process: a
// file that is left over after a crash locks nothing. An empty note stands for
// Note().
func (f *FS) Lock(name, note string) (io.Closer, error) {
	p, err := f.locate("lock", name)
	if err != nil {
		return nil, err
	}
	handle, err := os.OpenFile(p, os.O_RDWR|os.O_CREATE, fileMode)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", mapError(err))
	}
	taken, err := lockFile(handle)
	switch {
	case err != nil:
		handle.Close()
		return nil, fmt.Errorf("lock %s: %w (does its file system support locks?)", p, err)
	case taken:
		holder := readNote(handle)
		handle.Close()
		return nil, fmt.Errorf("lock %s: %w: %s", p, vfs.ErrLocked, holder)
	}
	if note == "" {
		note = Note()
	}
	if err := writeNote(handle, note); err != nil {
		handle.Close()
		return nil, fmt.Errorf("lock %s: write who holds it: %w", p, mapError(err))
	}
	return handle, nil
}

// writeNote replaces the file's content. The note is for people: it need not be
// durable.
func writeNote(handle *os.File, note string) error {
	if len(note) > noteMax {
		note = note[:noteMax]
	}
	if err := handle.Truncate(0); err != nil {
		return err
	}
	_, err := handle.WriteAt([]byte(note+"\n"), 0)
	return err
}

// readNote returns the holder's note in one line of printable characters.
func readNote(handle *os.File) string {
	buf := make([]byte, noteMax+1)
	n, _ := handle.ReadAt(buf, 0)
	note := strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, string(bytes.TrimSpace(buf[:n])))
	if note == "" {
		return "the holder left no note"
	}
	return note
}
