package block

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/oklog/ulid/v2"
	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/format/index"
	"github.com/nilometer/nilometer/format/page"
	"github.com/nilometer/nilometer/format/postings"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/part"
)

// problemsMax bounds the problems of one Report.
const problemsMax = 1000

// Problem is one thing that is wrong with a block.
type Problem struct {
	File   string
	Offset int64
	Err    error
}

// String names the file, the offset and what is wrong.
func (p Problem) String() string {
	return fmt.Sprintf("%s: offset %d: %s", p.File, p.Offset, p.Err)
}

// Report is the result of a verification.
type Report struct {
	Problems []Problem
	// Truncated tells that there were more problems than are listed.
	Truncated bool
	Series    uint64
	Columns   uint64
	Pages     uint64
	Chunks    uint64
	Samples   uint64
	Bytes     uint64 // of files
}

func (r *Report) add(file string, offset int64, err error) {
	if len(r.Problems) >= problemsMax {
		r.Truncated = true
		return
	}
	r.Problems = append(r.Problems, Problem{File: file, Offset: offset, Err: err})
}

// Verify is VerifyAs with what the block's meta.json says.
func Verify(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, id ulid.ULID) (Report, error) {
	meta, err := ReadMeta(ctx, bucket, tenantID, id)
	if err != nil {
		if ctx.Err() != nil {
			return Report{}, context.Cause(ctx)
		}
		r := Report{}
		r.add(Prefix(tenantID, id)+metaName, 0, err)
		return r, nil
	}
	return VerifyAs(ctx, bucket, tenantID, meta)
}

// VerifyAs opens a block of which meta is known and verifies it and its files:
// a bit that is not what was written is found in each of them, and a file that
// is missing or that the block does not have. A block that cannot be opened is
// one problem. An error is one of the context.
func VerifyAs(ctx context.Context, bucket blob.Bucket, tenantID tenant.ID, meta Meta) (Report, error) {
	b, err := OpenAs(ctx, bucket, tenantID, meta, nil)
	var r Report
	if err == nil {
		r, err = b.Verify(ctx)
		if err = errors.Join(err, b.checkFiles(ctx, bucket, &r), b.Release()); err != nil {
			return r, err
		}
	}
	if ctx.Err() != nil {
		return r, context.Cause(ctx)
	}
	prefix := Prefix(tenantID, meta.ID)
	var damage *part.DamageError
	switch {
	case errors.As(err, &damage):
		r.add(damage.File, damage.Offset, damage.Err)
	case err != nil:
		r.add(prefix, 0, err)
	}
	want, err := encodeMeta(meta)
	if err == nil {
		var have []byte
		if have, err = bucket.Get(ctx, prefix+metaName); err == nil && !bytes.Equal(have, want) {
			err = errors.New("it is not what was written: the manifest, or its other bytes, say otherwise")
		}
	}
	if err != nil {
		r.add(prefix+metaName, 0, err)
	}
	return r, ctx.Err()
}

// checkFiles looks for files that the block does not have.
func (b *Block) checkFiles(ctx context.Context, bucket blob.Bucket, r *Report) error {
	known := map[string]bool{b.prefix + metaName: true, b.prefix + indexName: true}
	for i := range b.files {
		known[b.files[i].name] = true
	}
	err := bucket.List(ctx, b.prefix, "", func(i blob.Info) error {
		if !known[i.Name] {
			r.add(i.Name, 0, errors.New("the block has no such file: move it away"))
		}
		return nil
	})
	if err != nil && ctx.Err() == nil {
		r.add(b.prefix, 0, fmt.Errorf("list its files: %w", err))
	}
	return context.Cause(ctx)
}

// Verify reads everything: every checksum, label set, list of postings, time
// column and chunk, and compares the counts with meta.json. An error is one of
// the context.
func (b *Block) Verify(ctx context.Context) (Report, error) {
	v := &verifier{b: b}
	for _, step := range []func(context.Context){v.index, v.labels, v.postings, v.columns, v.pages, v.counts} {
		step(ctx)
		if ctx.Err() != nil {
			return v.r, fmt.Errorf("verify %s: %w", b.name, context.Cause(ctx))
		}
	}
	return v.r, nil
}

type verifier struct {
	b *Block
	r Report
}

func (v *verifier) fail(err error) {
	var damage *part.DamageError
	var broken *index.CorruptError
	switch {
	case errors.As(err, &damage):
		v.r.add(damage.File, damage.Offset, damage.Err)
	case errors.As(err, &broken):
		v.r.add(v.b.prefix+indexName, broken.Offset, err)
	default:
		v.r.add(v.b.prefix+indexName, 0, err)
	}
}

func (v *verifier) index(context.Context) {
	v.r.Bytes = uint64(v.b.indexFile.Size())
	for _, err := range v.b.index.Check() {
		v.fail(err)
	}
}

// labels decodes all label sets and checks their order (I1).
func (v *verifier) labels(ctx context.Context) {
	sb := labels.NewScratchBuilder(16)
	var last labels.Labels
	for ref := range part.Ref(v.b.SeriesCount()) {
		if ref%index.SeriesPerPage == 0 && ctx.Err() != nil {
			return
		}
		p, at, err := v.b.loadLabels(ref)
		if err != nil {
			v.fail(err)
			return
		}
		sb.Reset()
		p.add(at, &sb)
		lset := sb.Labels()
		if ref > 0 && labels.Compare(last, lset) >= 0 {
			v.fail(fmt.Errorf("series %d %s follows %s", ref, lset, last))
		}
		last = lset
		v.r.Series++
	}
}

// postings checks that the lists of each name share no series, and that all
// together have as many series as have the label.
func (v *verifier) postings(ctx context.Context) {
	have := make([]int, len(v.b.index.Names()))
	for i := range v.b.labels {
		sp, err := v.b.index.SeriesPage(i)
		if err != nil {
			return // labels has said so
		}
		for k := range sp.Len() {
			names, _ := sp.Refs(k)
			for _, n := range names {
				have[n]++
			}
		}
	}
	for n, name := range v.b.index.Names() {
		table, err := v.b.index.Values(n)
		if err != nil {
			v.fail(err)
			continue
		}
		var lists []postings.List
		sum := 0
		for value := range table.Len() {
			if value%ctxEvery == 0 && ctx.Err() != nil {
				return
			}
			l, err := v.b.index.Postings(n, value)
			if err != nil {
				v.fail(err)
				continue
			}
			lists = append(lists, l)
			sum += l.Count()
		}
		if union := postings.Union(lists...).Count(); union != sum || sum != have[n] {
			v.fail(fmt.Errorf("postings of label %s name %d series, %d different ones; %d have the label", name, sum, union, have[n]))
		}
	}
}

// columns decodes all time columns and compares them with their tiles.
func (v *verifier) columns(ctx context.Context) {
	for id := range part.ColumnID(v.b.TimeColumns()) {
		if id%ctxEvery == 0 && ctx.Err() != nil {
			return
		}
		times, err := v.b.Column(id)
		if err != nil {
			v.fail(err)
			continue
		}
		v.r.Columns++
		c, err := v.b.column(id)
		if err != nil {
			v.fail(err)
			continue
		}
		for _, t := range c.Tiles {
			if times[t.From] != t.First || times[t.To-1] != t.Last || t.To-t.From > column.TilePositions {
				v.fail(fmt.Errorf("time column %d: its tile from %d to %d does not fit its times", id, t.From, t.To))
			}
		}
		if HashTimes(times) != c.Hash {
			v.fail(fmt.Errorf("time column %d: hash of its times", id))
		}
	}
}

func (v *verifier) pages(ctx context.Context) {
	for i := range v.b.files {
		f := &v.b.files[i]
		head, _, err := f.read(0, page.FileHeaderBytes)
		if err == nil {
			v.r.Bytes += uint64(f.obj.Size())
			err = page.CheckFileHeader(head)
		}
		if err != nil {
			v.r.add(f.name, 0, err)
		}
	}
	var values storage.Values
	covered := make([]int64, len(v.b.files)) // bytes of pages
	for _, row := range v.b.rows {
		for i := row.FirstPage; i < row.EndPage; i++ {
			if ctx.Err() != nil {
				return
			}
			info, err := v.b.index.Page(i)
			if err != nil {
				v.fail(err)
				return
			}
			p, _, err := v.b.readPage(info, row.Number)
			if err != nil {
				v.fail(err)
				continue
			}
			v.r.Pages++
			covered[info.File-1] += int64(info.Bytes)
			v.padding(info)
			v.page(p, info, row.Number, &values)
		}
	}
	for i := range v.b.files {
		if f := &v.b.files[i]; f.obj != nil && len(v.r.Problems) == 0 && f.obj.Size() != covered[i]+page.FileHeaderBytes {
			v.r.add(f.name, f.obj.Size(), fmt.Errorf("%d bytes, of which pages have %d", f.obj.Size(), covered[i]))
		}
	}
}

// padding checks the bytes behind a page's payload, which no checksum covers
// and no reader uses.
func (v *verifier) padding(info index.Page) {
	f := &v.b.files[info.File-1]
	frame, _, err := f.read(int64(info.Offset), int(info.Bytes))
	if err != nil {
		return // reading the page has said so
	}
	if pad := frame[len(frame)-page.PadBytes:]; !bytes.Equal(pad, make([]byte, page.PadBytes)) {
		v.r.add(f.name, int64(info.Offset)+int64(len(frame)-page.PadBytes), fmt.Errorf("padding % x", pad))
	}
}

// page decodes the chunks of a page.
func (v *verifier) page(p *loadedPage, info index.Page, row int64, values *storage.Values) {
	name, samples := v.b.files[info.File-1].name, uint64(0)
	bad := func(format string, args ...any) {
		v.r.add(name, int64(info.Offset), fmt.Errorf(format, args...))
	}
	for entry, e := range p.Entries() {
		if int(e.Series) >= v.b.SeriesCount() || e.Series < info.First || e.Series > info.Last {
			bad("series %d in a page of series %d to %d", e.Series, info.First, info.Last)
			continue
		}
		c, err := v.b.column(part.ColumnID(e.Column))
		if err != nil {
			v.fail(err)
			continue
		}
		from, to := c.RowTiles(row, v.b.index.RowMs())
		for i, t := range c.Tiles[from:to] {
			n := int(t.To - t.From)
			data, presence, ok, err := p.Chunk(e, i, n)
			switch {
			case err != nil || len(data) == 0:
			case p.Refers(e, i):
				_, err = p.Values(entry, i, n)
			default:
				err = decode(values, data, n-presence.Absent-presence.Stale)
			}
			if err != nil {
				bad("series %d: %w", e.Series, err)
				continue
			}
			if ok {
				v.r.Chunks++
				samples += uint64(n - presence.Absent)
			}
		}
	}
	if samples != uint64(info.Samples) || len(p.Entries()) != int(info.Entries) {
		bad("%d entries with %d samples, the index says %d with %d", len(p.Entries()), samples, info.Entries, info.Samples)
	}
	v.r.Samples += samples
}

// decode reads the n values of a chunk.
func decode(values *storage.Values, data []byte, n int) error {
	c, err := part.Unpack(data, nil)
	if err != nil {
		return err
	}
	return values.Decode(&c, n)
}

// counts compares with meta.json; after damage the difference is no news.
func (v *verifier) counts(context.Context) {
	s := v.b.meta.Stats
	if len(v.r.Problems) > 0 {
		return
	}
	if s.Series != v.r.Series || s.Columns != v.r.Columns || s.Chunks != v.r.Chunks || s.Samples != v.r.Samples || s.Bytes() != v.r.Bytes {
		v.r.add(v.b.prefix+metaName, 0, fmt.Errorf("it says %+v, the block has %d series, %d columns, %d chunks, %d samples, %d bytes",
			s, v.r.Series, v.r.Columns, v.r.Chunks, v.r.Samples, v.r.Bytes))
	}
}
