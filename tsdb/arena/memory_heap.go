//go:build race || (!linux && !darwin)

package arena

import "unsafe"

// mapped tells that memory is of the Go heap: arrays grow by copying.
const mapped = false

// pageBytes is the unit of large pieces.
var pageBytes = 4096

func reserve(int) []byte { return nil }

func commit([]byte) {}

// acquire returns zeroed memory that is aligned to 8 bytes.
func acquire(n int) []byte {
	words := make([]uint64, (n+7)/8)
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(words))), n)
}

func release([]byte) {}

func discard(mem []byte) { clear(mem) }
