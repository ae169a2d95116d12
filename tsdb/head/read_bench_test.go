package head_test

import (
	"testing"

	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/vfs/mem"
)

// BenchmarkPieces reads every series of an open tile of 240 recorded scrapes.
func BenchmarkPieces(b *testing.B) {
	rec := recordingOf(b, "node", 240)
	s, err := open(mem.New(), nil)
	if err != nil {
		b.Fatal(err)
	}
	g, err := s.OpenGroup(b.Context(), tenant.Default, storagetest.Spec(storage.Closed, "scrape"))
	if err != nil {
		b.Fatal(err)
	}
	rec.append(b, g, 240, storage.Logged)
	snap := s.Head(tenant.Default).Snapshot(-1 << 62)
	defer snap.Release()
	refs, err := snap.Select(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	var pieces []part.Piece
	b.ReportAllocs()
	b.ResetTimer()
	for i := range b.N {
		if pieces, err = snap.Pieces(refs[i%len(refs)], -1<<62, 1<<62, pieces[:0]); err != nil {
			b.Fatal(err)
		}
	}
}
