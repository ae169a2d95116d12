// Package output is a buffer for what a server or a program says while a test
// looks at it.
package output

import (
	"bytes"
	"sync"
)

// Buffer keeps what is written to it. It is safe for concurrent use, and empty
// at first.
type Buffer struct {
	mu  sync.Mutex // guards buf
	buf bytes.Buffer
}

// Write implements io.Writer; it does not fail.
func (b *Buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String is everything that was written so far.
func (b *Buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}
