// Package arena hands out memory without pointers outside of the Go heap: the
// garbage collector neither scans it nor keeps as much garbage beside it, and
// what is freed goes back to the system at once.
//
// It owns the anonymous mappings and counts every byte: an Allocator has the
// total of a process, an Owner the part of one tenant or component. There are
// three shapes:
//
//   - Array grows at its end, on a range of addresses that is reserved ahead
//     and gets its pages when they are reached: nothing is copied, and there is
//     no slack but the last page.
//   - Slices makes slices of given lengths, in size classes with free lists, and
//     Sequences that grow in chunks of one size.
//   - Slab makes blocks of 16 to 512 bytes that are named by 32-bit
//     references, for lists that link many of them.
//
// All three are typed, and bounds are checked: what comes out are slices.
// Element types must not contain pointers; NewArray and NewSlices panic when
// they do, so that the first test of a package that uses them finds out.
//
// On systems without these calls, and under the race detector, the memory is of
// the Go heap, with the same counts.
//
// # Invariants
//
//   - I1: an Owner's bytes are those of its arrays, slices and slabs that were
//     not freed: zero when all were. An Allocator's are the sum of its owners'.
//   - I2: memory that is handed out is zero.
//   - I3: memory that was freed is never handed out as long as anything else of
//     it is in use: freeing twice, or what is not of this package, panics.
//
// # What callers must do
//
// A slice of an array is valid until the array is freed or grows; of Slices
// until it is freed; of a slab until the next call of Alloc, or Free of the
// block; in any case no longer than its allocator is in use. Whoever reads beside writers holds a lock that freeing and growing
// needs, too: reading freed memory faults, or shows what others wrote. Only
// Allocator, Owner and Slices are safe for concurrent use.
package arena
