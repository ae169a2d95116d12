//go:build (linux || darwin) && !race

package arena

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// mapped tells that memory is of mappings.
const mapped = true

// pageBytes is the unit in which the system gives memory and takes it back.
var pageBytes = os.Getpagesize()

// reserve returns a range of addresses that has no memory yet, nil when there
// is none of this length. Pages are readable after commit.
func reserve(n int) []byte {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_NONE, unix.MAP_ANON|unix.MAP_PRIVATE|unix.MAP_NORESERVE)
	if err != nil {
		return nil
	}
	return mem
}

// commit makes whole pages of a reserved range usable. They become memory when
// they are touched.
func commit(mem []byte) {
	if err := unix.Mprotect(mem, unix.PROT_READ|unix.PROT_WRITE); err != nil {
		panic(fmt.Sprintf("arena: out of memory: %d bytes more: %v", len(mem), err))
	}
}

// acquire returns zeroed memory in whole pages.
func acquire(n int) []byte {
	mem, err := unix.Mmap(-1, 0, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	if err != nil {
		panic(fmt.Sprintf("arena: out of memory: %d bytes more: %v", n, err))
	}
	return mem
}

// release gives addresses and memory back, all that reserve or acquire
// returned.
func release(mem []byte) {
	if err := unix.Munmap(mem); err != nil {
		panic(fmt.Sprintf("arena: unmap %d bytes: %v", len(mem), err))
	}
}
