package head

import "github.com/nilometer/nilometer/tsdb/arena"

// memory is what a head keeps outside of the Go heap. What is of one group is
// guarded by the group's lock.
type memory struct {
	owner   *arena.Owner
	members arena.Slices[member]
	streams arena.Slices[stream]
	blocks  arena.Slices[streamBlock]
}

func newMemory(o *arena.Owner) memory {
	return memory{
		owner: o, members: arena.NewSlices[member](o), streams: arena.NewSlices[stream](o), blocks: arena.NewSlices[streamBlock](o),
	}
}

// appendMemberLocked gives a group one more slot.
func (g *group) appendMemberLocked(m member) {
	n := len(g.members)
	g.members = g.head.memory.members.Grow(g.members, n+1)
	g.members[n] = m
}

// reserveLocked makes room for the members of a new group: most never grow.
func (g *group) reserveLocked(n int) {
	if cap(g.members) == 0 && n > 0 {
		g.members = g.head.memory.members.Make(n)[:0]
	}
}

// streamOfLocked returns a member's stream, nil when its value has not changed
// in what is not sealed.
func (g *group) streamOfLocked(m *member) *stream {
	if m.stream == 0 {
		return nil
	}
	return g.streams.At(int(m.stream) - 1)
}

// newStreamLocked gives a member an empty stream, which gets a record at once.
// It is valid until the next one is made.
func (g *group) newStreamLocked(m *member) *stream {
	s := g.streams.Push(&g.head.memory.streams)
	m.stream = uint32(g.streams.Len())
	return s
}

// dropStreamsLocked frees all streams; the members are told by the caller.
func (g *group) dropStreamsLocked() {
	mem := &g.head.memory
	g.streams.Free(&mem.streams)
	g.blocks.Free(&mem.blocks)
}

// releaseLocked gives the memory of a group back; it has neither members nor
// samples then.
func (g *group) releaseLocked() {
	g.dropStreamsLocked()
	g.head.memory.members.Free(g.members)
	g.members = nil
}
