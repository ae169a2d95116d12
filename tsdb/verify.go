package tsdb

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/blob"
	blobdir "github.com/nilometer/nilometer/blob/dir"
	"github.com/nilometer/nilometer/model/column"
	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/manifest"
	"github.com/nilometer/nilometer/tsdb/part"
)

// BlockReport is what Verify found in one block.
type BlockReport struct {
	Tenant tenant.ID
	Meta   block.Meta
	// Series and Samples were counted by reading them.
	Series, Samples uint64
	// Problems are what is wrong, empty for a sound block.
	Problems []error
}

// problemsMax bounds the problems listed of one block.
const problemsMax = 20

// Verify reads every block of a data directory, and reports each. It returns an
// error that names the damaged blocks. It takes no lock, and may run beside a
// server: a block that is deleted meanwhile is not looked at further.
func Verify(ctx context.Context, d Deps, report func(BlockReport)) error {
	d = d.withDefaults()
	fsys, err := existing(d)
	if err != nil {
		return err
	}
	bucket := d.Bucket
	if bucket == nil {
		bucket = blobdir.Reader(fsys, storeName)
	}
	return verifyBlocks(ctx, bucket, report)
}

// verifyBlocks reads every block of every tenant whole.
func verifyBlocks(ctx context.Context, bucket blob.Bucket, report func(BlockReport)) error {
	tenants, err := listTenants(ctx, bucket)
	if err != nil {
		return err
	}
	var errs []error
	for _, id := range tenants {
		store, err := manifest.Open(ctx, bucket, id, shard)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for _, m := range store.Current().State.Blocks {
			r := verifyBlock(ctx, bucket, id, m)
			if err := ctx.Err(); err != nil {
				return err
			}
			if len(r.Problems) > 0 {
				// Deleted meanwhile by the server, which has merged it?
				if now, err := store.Refresh(ctx); err == nil {
					if _, live := now.State.Block(m.ID); !live {
						continue
					}
				}
			}
			report(r)
			if len(r.Problems) > 0 {
				errs = append(errs, fmt.Errorf("block %s of tenant %s is damaged", m.ID, id))
			}
		}
	}
	return errors.Join(errs...)
}

func verifyBlock(ctx context.Context, bucket blob.Bucket, id tenant.ID, m block.Meta) BlockReport {
	r := BlockReport{Tenant: id, Meta: m}
	found, err := block.VerifyAs(ctx, bucket, id, m)
	r.problem(err)
	for _, p := range found.Problems {
		r.problem(errors.New(p.String()))
	}
	b, err := block.OpenAs(ctx, bucket, id, m, nil)
	if err != nil {
		return r // one of the problems
	}
	defer func() { r.problem(b.Release()) }()
	refs, err := b.Select(ctx)
	if err != nil {
		if len(r.Problems) == 0 {
			r.problem(err)
		}
		return r
	}
	v := verifier{block: b, report: &r}
	for _, ref := range refs {
		if ctx.Err() != nil {
			break
		}
		v.series(ref)
	}
	if r.Series != m.Stats.Series || r.Samples != m.Stats.Samples {
		r.problem(fmt.Errorf("it has %d series with %d samples, its meta.json says %d with %d", r.Series, r.Samples, m.Stats.Series, m.Stats.Samples))
	}
	return r
}

func (r *BlockReport) problem(err error) {
	if err == nil {
		return
	}
	text := err.Error() // one fault of an index is met by many series
	again := slices.ContainsFunc(r.Problems, func(p error) bool { return p.Error() == text })
	if !again && len(r.Problems) < problemsMax {
		r.Problems = append(r.Problems, err)
	}
}

// verifier reads one block, series by series.
type verifier struct {
	block   *block.Block
	report  *BlockReport
	pieces  []part.Piece
	values  storage.Values
	builder labels.ScratchBuilder
	last    labels.Labels
}

func (v *verifier) series(ref part.Ref) {
	v.report.Series++
	v.block.Labels(ref, &v.builder)
	lset := v.builder.Labels()
	if labels.Compare(v.last, lset) >= 0 {
		v.report.problem(fmt.Errorf("series %s does not follow %s in label order", lset, v.last))
	}
	v.last = lset
	if h, _ := series.HashOf(lset, nil); h != v.block.Hash(ref) {
		v.report.problem(fmt.Errorf("series %s has the hash %x, its labels have %x", lset, v.block.Hash(ref), h))
	}
	var err error
	v.pieces, err = v.block.Pieces(ref, math.MinInt64, math.MaxInt64, v.pieces[:0])
	v.report.problem(err)
	end := int64(math.MinInt64)
	for i := range v.pieces {
		end = v.piece(lset, &v.pieces[i], end)
	}
}

// piece reads one piece that must begin after end, and returns its own end.
func (v *verifier) piece(lset labels.Labels, p *part.Piece, end int64) int64 {
	times, err := v.block.Column(p.Column)
	if err != nil {
		v.report.problem(fmt.Errorf("series %s: %w", lset, err))
		return end
	}
	first, last := times[p.From], times[p.To-1]
	if first <= end || first < v.report.Meta.MinTime || last > v.report.Meta.MaxTime {
		v.report.problem(fmt.Errorf("series %s: a piece from %d to %d lies outside its place", lset, first, last))
	}
	n := int(p.To - p.From)
	v.report.Samples += uint64(column.SampleCount(p.Chunk.Runs, n))
	if column.PresentCount(p.Chunk.Runs, n) > 0 {
		if err := v.values.Decode(&p.Chunk, n); err != nil {
			v.report.problem(fmt.Errorf("series %s: the chunk from %d to %d: %w", lset, first, last, err))
		}
	}
	return last
}
