//go:build linux && !race

package arena

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// discard gives the memory of whole pages back and keeps the addresses: they
// read as zero.
func discard(mem []byte) {
	if err := unix.Madvise(mem, unix.MADV_DONTNEED); err != nil {
		panic(fmt.Sprintf("arena: give %d bytes back: %v", len(mem), err))
	}
}
