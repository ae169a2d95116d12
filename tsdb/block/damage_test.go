package block_test

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"github.com/nilometer/nilometer/blob"
	"github.com/nilometer/nilometer/blob/mem"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/tsdb/block"
	"github.com/nilometer/nilometer/tsdb/part"
	"github.com/nilometer/nilometer/tsdb/part/parttest"
)

func list(t *testing.T, bucket blob.Bucket) []string {
	t.Helper()
	var names []string
	if err := bucket.List(t.Context(), "", "", func(i blob.Info) error {
		names = append(names, i.Name)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return names
}

// replace changes an object's bytes; nil deletes it.
func replace(t *testing.T, bucket blob.Bucket, name string, change func([]byte) []byte) {
	t.Helper()
	b, err := bucket.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	b = change(bytes.Clone(b))
	if err := bucket.Delete(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if b == nil {
		return
	}
	if err := bucket.PutIfAbsent(t.Context(), name, bytes.NewReader(b), int64(len(b))); err != nil {
		t.Fatal(err)
	}
}

func damaged(t *testing.T, o block.Options) (*mem.Bucket, []parttest.Series, string) {
	t.Helper()
	rng := rand.New(rand.NewPCG(8, 8))
	src := parttest.Random(rng, "source", parttest.RandomOptions{Targets: 4, Metrics: 40, Start: 0, Interval: 15_000, Positions: 480, Gaps: true})
	bucket := mem.New()
	write(t, bucket, 1, o, src)
	return bucket, read(t, src), block.Prefix(tenant.Default, blockID(1))
}

// TestDamagedPage: one flipped bit takes away the chunks of one page, with an
// error that names file and offset; all others are served.
func TestDamagedPage(t *testing.T) {
	for _, compress := range []bool{false, true} {
		bucket, want, prefix := damaged(t, block.Options{PageBytes: 4096, Compress: compress})
		replace(t, bucket, prefix+"chunks/000001", func(b []byte) []byte {
			b[len(b)/2] ^= 4
			return b
		})
		b := open(t, bucket, 1, nil)
		refs, err := b.Select(t.Context())
		if err != nil || len(refs) != len(want) {
			t.Fatal(err, len(refs))
		}
		lost := 0
		for i, ref := range refs {
			for range 2 { // damage is remembered
				samples, err := parttest.Samples(b, ref, math.MinInt64, math.MaxInt64)
				var damage *part.DamageError
				switch {
				case errors.As(err, &damage):
					if damage.File != prefix+"chunks/000001" || damage.Offset == 0 || damage.Part != b.Name() {
						t.Fatalf("%+v", damage)
					}
					lost++
				case err != nil:
					t.Fatal(err)
				default:
					if diff := parttest.Diff([]parttest.Series{{Samples: samples}}, []parttest.Series{{Samples: want[i].Samples}}); diff != "" {
						t.Fatal(diff)
					}
				}
			}
		}
		if lost == 0 || lost > len(refs)/2 {
			t.Errorf("%d of %d series are lost", lost/2, len(refs))
		}
		r, err := b.Verify(t.Context())
		if err != nil || len(r.Problems) != 1 || !strings.Contains(r.Problems[0].String(), "chunks/000001: offset") {
			t.Errorf("%v, problems %v", err, r.Problems)
		}
	}
}

func TestMissingChunksFile(t *testing.T) {
	bucket, _, prefix := damaged(t, block.Options{})
	replace(t, bucket, prefix+"chunks/000001", func([]byte) []byte { return nil })
	b := open(t, bucket, 1, nil)
	_, err := b.Pieces(0, math.MinInt64, math.MaxInt64, nil)
	var damage *part.DamageError
	if !errors.As(err, &damage) {
		t.Errorf("got %v", err)
	}
}

// TestEveryBitOfTheIndexIsGuarded: with any byte of the index changed, the
// block does not open, or verification says so, and reading gives an error or
// exactly what was written.
func TestEveryBitOfTheIndexIsGuarded(t *testing.T) {
	src := zoo(60)
	bucket := mem.New()
	write(t, bucket, 1, block.Options{}, src)
	want := read(t, src)
	name := block.Prefix(tenant.Default, blockID(1)) + "index"
	packed, err := bucket.Get(t.Context(), name)
	if err != nil {
		t.Fatal(err)
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1))
	if err != nil {
		t.Fatal(err)
	}
	defer dec.Close()
	whole, err := dec.DecodeAll(packed[20:], nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Run("packed", func(t *testing.T) { everyBitOfTheIndex(t, bucket, name, packed, want) })
	t.Run("plain", func(t *testing.T) { everyBitOfTheIndex(t, bucket, name, whole, want) })
}

func everyBitOfTheIndex(t *testing.T, bucket blob.Bucket, name string, whole []byte, want []parttest.Series) {
	for at := range whole {
		replace(t, bucket, name, func([]byte) []byte {
			b := bytes.Clone(whole)
			b[at] ^= 1 << (at % 8)
			return b
		})
		r, err := block.Verify(t.Context(), bucket, tenant.Default, blockID(1))
		if err != nil {
			t.Fatal(err)
		}
		if len(r.Problems) == 0 {
			t.Errorf("byte %d of %d: nothing is wrong", at, len(whole))
		}
		b, err := block.Open(t.Context(), bucket, tenant.Default, blockID(1), nil)
		if err != nil {
			continue
		}
		if got, err := parttest.Read(t.Context(), b); err == nil {
			if diff := parttest.Diff(got, want); diff != "" {
				t.Errorf("byte %d: %s", at, diff)
			}
		}
		if err := b.Release(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestUnfinishedBlock(t *testing.T) {
	bucket, _, prefix := damaged(t, block.Options{})
	replace(t, bucket, prefix+"meta.json", func([]byte) []byte { return nil })
	_, err := block.Open(t.Context(), bucket, tenant.Default, blockID(1), nil)
	if !errors.Is(err, blob.ErrNotFound) {
		t.Errorf("got %v", err)
	}
}

func TestNewerFormat(t *testing.T) {
	bucket, _, prefix := damaged(t, block.Options{})
	replace(t, bucket, prefix+"meta.json", func(b []byte) []byte {
		return bytes.Replace(b, []byte(`"format_version": 1`), []byte(`"format_version": 2`), 1)
	})
	_, err := block.Open(t.Context(), bucket, tenant.Default, blockID(1), nil)
	if err == nil || !strings.Contains(err.Error(), "upgrade") {
		t.Errorf("got %v", err)
	}
}

func TestVerifyWhole(t *testing.T) {
	bucket, want, _ := damaged(t, block.Options{Compress: true})
	r, err := block.Verify(t.Context(), bucket, tenant.Default, blockID(1))
	if err != nil || len(r.Problems) != 0 || int(r.Series) != len(want) || r.Samples == 0 {
		t.Errorf("%v %+v", err, r)
	}
}

func TestReleasedTooOften(t *testing.T) {
	bucket, _, _ := damaged(t, block.Options{})
	b, err := block.Open(t.Context(), bucket, tenant.Default, blockID(1), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Release(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	_ = b.Release()
}
