package arena_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/nilometer/nilometer/tsdb/arena"
)

// TestLeak frees everything in many orders: all counts are zero then (I1), and
// what was handed out was zero (I2) and nobody else's (I3).
func TestLeak(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := arena.New()
		o := a.Owner()
		words := arena.NewSlices[uint64](o)
		type piece struct {
			mem  []uint64
			mark uint64
		}
		var live []piece
		next := uint64(1)
		for range rapid.IntRange(1, 200).Draw(rt, "steps") {
			if len(live) > 0 && rapid.Bool().Draw(rt, "free") {
				i := rapid.IntRange(0, len(live)-1).Draw(rt, "which")
				check(rt, live[i].mem, live[i].mark)
				words.Free(live[i].mem)
				live[i] = live[len(live)-1]
				live = live[:len(live)-1]
				continue
			}
			n := rapid.OneOf(rapid.IntRange(1, 100), rapid.IntRange(1, 40_000), rapid.IntRange(131_000, 140_000)).Draw(rt, "n")
			p := piece{words.Make(n), next}
			next++
			check(rt, p.mem[:cap(p.mem)], 0)
			for i := range p.mem {
				p.mem[i] = p.mark
			}
			live = append(live, p)
		}
		for _, p := range live {
			check(rt, p.mem, p.mark)
			words.Free(p.mem)
		}
		if o.Bytes() != 0 || a.Bytes() != 0 {
			rt.Fatalf("the owner has %d bytes, the allocator %d, after everything was freed", o.Bytes(), a.Bytes())
		}
	})
}

func check(t interface{ Fatalf(string, ...any) }, mem []uint64, want uint64) {
	for i, v := range mem {
		if v != want {
			t.Fatalf("element %d of %d is %d, want %d", i, len(mem), v, want)
		}
	}
}

func TestGrow(t *testing.T) {
	a := arena.New()
	s := arena.NewSlices[uint32](a.Owner())
	var v []uint32
	for i := range 300_000 {
		v = s.Grow(v, i+1)
		v[i] = uint32(i)
	}
	for i := range v {
		if v[i] != uint32(i) {
			t.Fatalf("element %d is %d after growing", i, v[i])
		}
	}
	if n := a.Bytes(); n < 1_200_000 || n > 2_000_000 {
		t.Errorf("1,200,000 bytes take %d", n)
	}
	s.Free(v)
	if a.Bytes() != 0 {
		t.Errorf("%d bytes are left", a.Bytes())
	}
}

func TestArray(t *testing.T) {
	a := arena.New()
	o, other := a.Owner(), a.Owner()
	x, y := arena.NewArray[[3]uint32](o), arena.NewArray[byte](other)
	y.Extend(10)
	const n = 400_000 // past the heap, and past one step of commits
	for i := range n {
		x.Push([3]uint32{uint32(i), 1, 2})
	}
	if got := x.All()[n-1]; x.Len() != n || got != [3]uint32{n - 1, 1, 2} || x.All()[0] != [3]uint32{0, 1, 2} {
		t.Fatalf("%d elements, the last is %v", x.Len(), got)
	}
	if o.Bytes() < 12*n || a.Bytes() != o.Bytes()+other.Bytes() {
		t.Errorf("%d bytes of %d for %d elements of 12", o.Bytes(), a.Bytes(), n)
	}
	full := o.Bytes()
	x.Truncate(1000)
	if o.Bytes() > full {
		t.Errorf("%d bytes after truncation, %d before", o.Bytes(), full)
	}
	for i, v := range x.Extend(n)[:n] {
		if v != [3]uint32{} {
			t.Fatalf("element %d is %v after truncation", 1000+i, v)
		}
	}
	if x.All()[999] != [3]uint32{999, 1, 2} {
		t.Errorf("element 999 is %v", x.All()[999])
	}
	x.Free()
	y.Free()
	if a.Bytes() != 0 {
		t.Errorf("%d bytes are left", a.Bytes())
	}
	x.Push([3]uint32{7})
	if x.Len() != 1 || x.All()[0] != [3]uint32{7} {
		t.Errorf("a freed array starts with %v", x.All())
	}
	x.Free()
}

func TestSlab(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		a := arena.New()
		s := arena.NewSlab(a.Owner())
		type block struct {
			ref  arena.BlockRef
			size int
			mark byte
		}
		var live []block
		bytes := 0
		for i := range rapid.IntRange(1, 300).Draw(rt, "steps") {
			if len(live) > 0 && rapid.IntRange(0, 2).Draw(rt, "free") == 0 {
				k := rapid.IntRange(0, len(live)-1).Draw(rt, "which")
				b := live[k]
				for _, v := range s.Bytes(b.ref, b.size) {
					if v != b.mark {
						rt.Fatalf("a block of %d bytes has %d, want %d", b.size, v, b.mark)
					}
				}
				s.Free(b.ref, b.size)
				bytes -= b.size
				live = append(live[:k], live[k+1:]...)
				continue
			}
			b := block{size: arena.SlabUnit << rapid.IntRange(0, 5).Draw(rt, "class"), mark: byte(i + 1)}
			b.ref = s.Alloc(b.size)
			mem := s.Bytes(b.ref, b.size)
			for j := range mem {
				if mem[j] != 0 {
					rt.Fatalf("a new block of %d bytes has %d at %d", b.size, mem[j], j)
				}
				mem[j] = b.mark
			}
			bytes += b.size
			live = append(live, b)
		}
		if s.Live() != bytes {
			rt.Fatalf("%d bytes live, want %d", s.Live(), bytes)
		}
		s.Release()
		if a.Bytes() != 0 {
			rt.Fatalf("%d bytes are left", a.Bytes())
		}
	})
}

func TestRefusals(t *testing.T) {
	o := arena.New().Owner()
	words := arena.NewSlices[uint64](o)
	one, two := words.Make(100), words.Make(100)
	words.Free(one)
	for name, f := range map[string]func(){
		"a type with pointers": func() { arena.NewArray[*int](o) },
		"strings":              func() { arena.NewSlices[string](o) },
		"a slice inside":       func() { arena.NewSlices[struct{ a []int }](o) },
		"no size":              func() { arena.NewArray[struct{}](o) },
		"freed twice":          func() { words.Free(one) },
		"from its middle":      func() { words.Free(two[1:]) },
		"of somebody else":     func() { words.Free(make([]uint64, 10)) },
		"an odd block":         func() { s := arena.NewSlab(o); s.Alloc(24) },
	} {
		t.Run(name, func(t *testing.T) {
			defer func() {
				if recover() == nil {
					t.Error("it was not refused")
				}
			}()
			f()
		})
	}
	words.Free(two)
}

func TestSequence(t *testing.T) {
	a := arena.New()
	mem := arena.NewSlices[[5]uint64](a.Owner())
	var q arena.Sequence[[5]uint64]
	for round := range uint64(2) {
		for i := range uint64(1000) {
			p := q.Push(&mem)
			if *p != [5]uint64{} {
				t.Fatalf("round %d: a new element is %v", round, *p)
			}
			p[0], p[4] = i, i+round
		}
		for i := range uint64(1000) {
			if p := q.At(int(i)); p[0] != i || p[4] != i+round {
				t.Fatalf("round %d: element %d is %v", round, i, *p)
			}
		}
		if n := a.Bytes(); q.Len() != 1000 || n > 45_000 {
			t.Errorf("%d elements of 40 bytes take %d", q.Len(), n)
		}
		q.Free(&mem)
		if q.Len() != 0 || a.Bytes() != 0 {
			t.Errorf("%d elements and %d bytes are left", q.Len(), a.Bytes())
		}
	}
}
