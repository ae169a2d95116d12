package arena

// smallBytes is the length up to which an array is on the Go heap: tenants with
// a few series have neither mappings nor reserved addresses.
const smallBytes = 64 << 10

// The addresses that an array reserves when it leaves the heap, and by how much
// more when it outgrows them: then it is copied once.
const (
	reserveBytes  = 1 << 30
	reserveFactor = 16
)

// commitBytes is the step in which reserved pages are made usable: they cost
// nothing until they are touched, and a call for each page would.
const commitBytes = 1 << 20

// Array is a sequence that grows at its end. The zero value is not usable.
type Array[T any] struct {
	owner   *Owner
	size    int    // of an element
	all     []T    // what is in use; its capacity is what is committed
	mem     []byte // the reserved range; nil while on the heap
	commits int    // bytes of mem that are committed
	charged int
}

// NewArray returns an empty array. It panics when T has pointers.
func NewArray[T any](o *Owner) Array[T] { return Array[T]{owner: o, size: sizeOf[T]()} }

// Len is the number of elements.
func (a *Array[T]) Len() int { return len(a.all) }

// All returns the elements. They may be changed in place.
func (a *Array[T]) All() []T { return a.all[:len(a.all):len(a.all)] }

// Push adds an element.
func (a *Array[T]) Push(v T) {
	if len(a.all) == cap(a.all) {
		a.grow(len(a.all) + 1)
	}
	n := len(a.all)
	a.all = a.all[:n+1]
	a.all[n] = v
	a.charge()
}

// Extend adds n zero elements and returns them.
func (a *Array[T]) Extend(n int) []T {
	from := len(a.all)
	if from+n > cap(a.all) {
		a.grow(from + n)
	}
	a.all = a.all[:from+n]
	a.charge()
	return a.all[from : from+n : from+n]
}

// Truncate keeps the first n elements; whole pages behind them are given back.
func (a *Array[T]) Truncate(n int) {
	clear(a.all[n:])
	had := len(a.all)
	a.all = a.all[:n]
	if a.mem != nil {
		if from, to := pages(n*a.size), pages(had*a.size); from < to {
			discard(a.mem[from:to])
		}
	}
	a.charge()
}

// Free gives all memory back. The array is empty and may be used again.
func (a *Array[T]) Free() {
	if a.mem != nil {
		a.owner.allocator.mappings.release(a.mem)
	}
	a.all, a.mem, a.commits = nil, nil, 0
	a.charge()
}

// charge brings the owner's count up to date: pages that were reached, or all
// that is on the heap.
func (a *Array[T]) charge() {
	n := cap(a.all) * a.size
	if a.mem != nil {
		n = pages(len(a.all) * a.size)
	}
	if n != a.charged {
		a.owner.charge(n - a.charged)
		a.charged = n
	}
}

// grow makes room for n elements.
func (a *Array[T]) grow(n int) {
	need := n * a.size
	if a.mem == nil && (!mapped || need <= smallBytes) {
		a.onHeap(n)
		return
	}
	if need > len(a.mem) {
		a.move(need)
	}
	if need > a.commits {
		to := min((need+commitBytes-1)/commitBytes*commitBytes, len(a.mem))
		commit(a.mem[a.commits:to])
		a.commits = to
	}
	a.all = view[T](a.mem[:a.commits], a.size)[:len(a.all)]
}

// onHeap doubles an array that is on the Go heap.
func (a *Array[T]) onHeap(n int) {
	next := make([]T, len(a.all), max(n, 2*cap(a.all)))
	copy(next, a.all)
	a.all = next
}

// move copies the array to a new range of addresses.
func (a *Array[T]) move(need int) {
	n := max(reserveBytes, len(a.mem)*reserveFactor, pages(need))
	mem := reserve(n)
	for mem == nil && n/2 >= pages(need) { // addresses may be limited (ulimit -v)
		n = pages(n / 2)
		mem = reserve(n)
	}
	if mem == nil {
		panic("arena: out of memory: no addresses for an array that grows")
	}
	a.owner.allocator.mappings.add(mem)
	a.commits = min(pages(max(need, commitBytes)), n)
	commit(mem[:a.commits])
	next := view[T](mem[:a.commits], a.size)[:len(a.all)]
	copy(next, a.all)
	if a.mem != nil {
		a.owner.allocator.mappings.release(a.mem)
	}
	a.all, a.mem = next, mem
}

// pages rounds bytes up to whole pages.
func pages(n int) int { return (n + pageBytes - 1) / pageBytes * pageBytes }
