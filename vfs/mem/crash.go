package mem

import (
	"maps"
	"math/rand/v2"
	"slices"
)

// Seeds with a meaning of their own; every other one mixes.
const (
	// LoseAll is the seed of a crash that loses all that was not synced.
	LoseAll uint64 = 0
	// KeepAll is the seed of a crash that keeps everything: kill -9, where the
	// machine lives on.
	KeepAll uint64 = 1
)

// sectorSize is what a disk writes whole or not at all, in bytes.
const sectorSize = 512

// Crash returns the file system as it is found after a loss of power now. The
// seed decides what becomes of all that was not synced: see LoseAll and
// KeepAll. Locks are gone; the limit stays.
func (f *FS) Crash(seed uint64) *FS {
	f.mu.RLock()
	defer f.mu.RUnlock()
	c := &crash{seed: seed, rng: rand.New(rand.NewPCG(seed, 0x6e696c)), to: NewLimited(f.capacity),
		names: map[*node]map[string]*node{}, files: map[*node]*node{}}
	c.decideNames(f.pending)
	c.to.root = c.dir(f.root)
	return c.to
}

// crash is one Crash under way.
type crash struct {
	seed  uint64
	rng   *rand.Rand
	to    *FS
	names map[*node]map[string]*node // of old directories, where they are not just the durable ones
	files map[*node]*node            // old to new: a file with several names is one file
}

// decideNames keeps or loses every pending change. One that was lost takes along
// the later ones of the same names: a directory's block is written in order.
func (c *crash) decideNames(pending []change) {
	keep := c.rng.Float64() // mostly lost, mostly kept or in between
	type key struct {
		dir  *node
		name string
	}
	lost := map[key]bool{}
	for _, ch := range pending {
		kept := c.seed == KeepAll || c.seed != LoseAll && c.rng.Float64() < keep
		for _, s := range ch.slots {
			kept = kept && !lost[key{s.dir, s.name}]
		}
		for _, s := range ch.slots {
			if !kept {
				lost[key{s.dir, s.name}] = true
				continue
			}
			if c.names[s.dir] == nil {
				c.names[s.dir] = maps.Clone(s.dir.durable)
			}
			s.put(c.names[s.dir])
		}
	}
}

// dir copies a directory and all below, in order of names: the draws depend on
// the order.
func (c *crash) dir(old *node) *node {
	names, ok := c.names[old]
	if !ok {
		names = old.durable
	}
	n := c.to.newNode(true)
	n.modified = old.modified
	for _, name := range sortedNames(names) {
		child := names[name]
		if child.isDir {
			n.names[name] = c.dir(child)
		} else {
			n.names[name] = c.file(child)
		}
		n.names[name].links++
	}
	n.durable = maps.Clone(n.names)
	return n
}

func (c *crash) file(old *node) *node {
	if n := c.files[old]; n != nil {
		return n
	}
	n := c.to.newNode(false)
	n.modified = old.modified
	n.data = c.content(old.data, old.synced)
	n.synced = len(n.data)
	c.files[old] = n
	c.to.used += uint64(len(n.data))
	return n
}

// content decides what is left of a file's bytes.
func (c *crash) content(data []byte, synced int) []byte {
	switch {
	case synced == len(data) || c.seed == KeepAll:
		return slices.Clip(data)
	case c.seed == LoseAll:
		return slices.Clip(data[:synced])
	}
	draw := c.rng.IntN(8)
	switch {
	case draw == 0:
		return slices.Clip(data[:synced])
	case draw == 1:
		return slices.Clip(data)
	}
	size := synced + 1 + c.rng.IntN(len(data)-synced)
	if draw < 4 {
		return slices.Clip(data[:size])
	}
	return c.tear(slices.Clone(data[:size]), synced)
}

// tear spoils sectors of data behind synced, in place.
func (c *crash) tear(data []byte, synced int) []byte {
	for from := synced; from < len(data); {
		to := min(from-from%sectorSize+sectorSize, len(data))
		switch c.rng.IntN(4) {
		case 0:
			clear(data[from:to])
		case 1:
			for i := from; i < to; i++ {
				data[i] = byte(c.rng.Uint32())
			}
		}
		from = to
	}
	return data
}
