//go:build darwin && !race

package arena

import "golang.org/x/sys/unix"

// discard lets the system take the memory of whole pages, which keep their
// addresses and read as zero.
func discard(mem []byte) {
	clear(mem) // the system may leave pages as they are
	_ = unix.Madvise(mem, unix.MADV_FREE)
}
