package record_test

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/format/formattest"
	"github.com/nilometer/nilometer/format/record"
)

var rewrite = flag.Bool("rewrite", false, "write the golden file anew")

func exampleBase() *record.Base {
	return &record.Base{
		Tenant: "default", Group: 7, Kind: 1, Key: 0x1122334455667788, Name: "scrape:a", Seq: 41, HasLast: true, Last: 1_700_000_000_000,
		Members: []record.Member{
			{Slot: 0, Series: 12, Labels: labels.FromStrings("__name__", "up"), HasValue: true, Bits: math.Float64bits(1), Time: 1_700_000_000_000, Present: true},
			{Slot: 3, Series: 9, Labels: labels.FromStrings("__name__", "x", "le", "0.5")},
		},
	}
}

func exampleBatch() []byte {
	var w record.BatchWriter
	w.Reset(7, 42, 1_700_000_015_000, record.FlagBodyStale)
	w.AddMember(4, 14, labels.FromStrings("__name__", "y"))
	var hint record.Hint
	w.AddValue(0, math.Float64bits(1), math.Float64bits(5), &hint)
	w.AddValue(4, 0, math.Float64bits(0.25), &hint)
	w.AddStale(3)
	return w.Append(nil)
}

func exampleLate() []byte {
	var w record.LateWriter
	w.Reset("default", 12)
	up := w.AddSeries(labels.FromStrings("__name__", "up"))
	w.AddSample(record.LateSample{Series: up, Time: 1_699_999_000_000})
	w.AddSample(record.LateSample{Series: up, Time: 1_699_999_015_000, Bits: math.Float64bits(1)})
	return w.Append(nil)
}

func TestGolden(t *testing.T) {
	base := record.AppendBase(nil, exampleBase())
	payload := record.AppendRecord(nil, record.TypeBase, base)
	payload = record.AppendRecord(payload, record.TypeBatch, exampleBatch())
	payload = record.AppendRecord(payload, record.TypeLate, exampleLate())
	payload = record.AppendRecord(payload, record.TypeTombstone, record.AppendTombstone(nil, exampleTombstone()))
	frame := new(record.Framer).Append(record.AppendSegmentHeader(nil, 3), payload, true)
	got := hex.Dump(frame)
	formattest.Golden(t, *rewrite, "testdata/segment.golden", got)
	formattest.Documented(t, got)
}

func TestBaseRoundTrip(t *testing.T) {
	want := exampleBase()
	got, err := record.ReadBase(record.AppendBase(nil, want))
	if err != nil {
		t.Fatal(err)
	}
	if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

// read decodes a batch given the members' values before.
func read(t testing.TB, body []byte, prev map[uint32]uint64) (*record.Batch, map[uint32]uint64, error) {
	b, err := record.ReadBatch(body)
	if err != nil {
		return nil, nil, err
	}
	out := map[uint32]uint64{}
	for {
		slot, ok, err := b.Next()
		if err != nil || !ok {
			return b, out, err
		}
		v, err := b.Bits(prev[slot])
		if err != nil {
			return b, out, err
		}
		out[slot] = v
	}
}

func TestBatchRoundTrip(t *testing.T) {
	b, values, err := read(t, exampleBatch(), map[uint32]uint64{0: math.Float64bits(1)})
	if err != nil {
		t.Fatal(err)
	}
	if b.Group != 7 || b.Seq != 42 || b.Time != 1_700_000_015_000 || b.Flags != record.FlagBodyStale ||
		len(b.New) != 1 || b.New[0].Slot != 4 || len(b.Stale) != 1 || b.Stale[0] != 3 ||
		values[0] != math.Float64bits(5) || values[4] != math.Float64bits(0.25) {
		t.Errorf("batch %+v values %v", b, values)
	}
}

func TestValuesComeBackBitForBit(t *testing.T) {
	odd := []uint64{
		0, 1 << 63, math.Float64bits(1), math.Float64bits(-1), math.Float64bits(math.NaN()), 0x7ff0000000000002, 0x7ff8000000000abc,
		math.Float64bits(math.Inf(1)), math.Float64bits(math.Inf(-1)), 1, math.Float64bits(1 << 52), math.Float64bits(1<<52 - 1),
		math.Float64bits(-(1 << 52)), math.Float64bits(1<<53 + 2), math.Float64bits(0.1), math.Float64bits(0.30000000000000004), math.MaxUint64,
	}
	rng := rand.New(rand.NewPCG(1, 2))
	sum := 0.0
	for range 2000 {
		sum += float64(rng.IntN(1e9)) / 1e9 // near to decimals, not always one
		odd = append(odd, math.Float64bits(sum), math.Float64bits(sum*1e4), rng.Uint64(), math.Float64bits(float64(rng.Int64N(1_000_000))), math.Float64bits(float64(rng.Int64N(1000))/100))
	}
	for i, prev := range odd {
		var hint record.Hint // whatever it remembers, bits come back
		for _, value := range odd[:min(len(odd), 60)] {
			var w record.BatchWriter
			w.Reset(1, 1, 0, 0)
			w.AddValue(9, prev, value, &hint)
			_, got, err := read(t, w.Append(nil), map[uint32]uint64{9: prev})
			if err != nil || got[9] != value {
				t.Fatalf("value %d: %x after %x came back as %x, %v", i, value, prev, got[9], err)
			}
		}
	}
}

func TestFrames(t *testing.T) {
	skewed, random := make([]byte, 200_000), make([]byte, 5000)
	rng := rand.New(rand.NewPCG(1, 2))
	for i := range skewed { // nothing repeats, some bytes are frequent
		skewed[i] = byte(rng.ExpFloat64() * 20)
	}
	for i := range random {
		random[i] = byte(rng.Uint32())
	}
	payloads := [][]byte{{}, []byte("short"), bytes.Repeat([]byte("compressible "), 1000), skewed, append(bytes.Clone(skewed), random...), random}
	var data []byte
	for _, p := range payloads {
		data = new(record.Framer).Append(data, p, len(data) == 0)
	}
	rest := data
	for i, want := range payloads {
		got, n, err := new(record.Unframer).Read(rest)
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("frame %d: %v", i, err)
		}
		if record.Begins(rest) != (i == 0) {
			t.Errorf("frame %d: begins is %v", i, record.Begins(rest))
		}
		if i == 3 && n > len(want)*4/5 {
			t.Errorf("frame %d takes %d bytes of %d", i, n, len(want))
		}
		rest = rest[n:]
	}
	if _, _, err := new(record.Unframer).Read(data[:len(data)-1][len(data)-20:]); err == nil {
		t.Error("a piece of a frame was read as one")
	}
	frame := new(record.Framer).Append(nil, skewed[:2000], false)
	for cut := range frame {
		if _, _, err := new(record.Unframer).Read(frame[:cut]); !errors.Is(err, record.ErrTorn) {
			t.Fatalf("cut at %d: %v, want ErrTorn", cut, err)
		}
	}
	for bit := range len(frame) * 8 {
		frame[bit/8] ^= 1 << (bit % 8)
		if got, _, err := new(record.Unframer).Read(frame); err == nil {
			t.Fatalf("bit %d flipped: read %d bytes without an error", bit, len(got))
		}
		frame[bit/8] ^= 1 << (bit % 8)
	}
}

// TestSteps: a value that is given by integers comes back like one that is looked at.
func TestSteps(t *testing.T) {
	rng := rand.New(rand.NewPCG(5, 6))
	var taken int
	for range 20_000 {
		exp := rng.IntN(12)
		from, k := rng.Int64()>>rng.IntN(64), rng.Int64()>>rng.IntN(64)
		if rng.IntN(2) == 0 {
			from, k = -from, -k
		}
		prev, value := float64(from)/math.Pow10(exp), float64(k)/math.Pow10(exp)
		if math.RoundToEven(prev*math.Pow10(exp)) != float64(from) {
			continue // from is not what a reader finds
		}
		var w record.BatchWriter
		w.Reset(1, 1, 0, 0)
		if !w.AddStep(9, exp, from, k) {
			if _, got, err := read(t, w.Append(nil), nil); err != nil || len(got) != 0 {
				t.Fatalf("a step that is refused leaves %v, %v", got, err)
			}
			continue
		}
		taken++
		_, got, err := read(t, w.Append(nil), map[uint32]uint64{9: math.Float64bits(prev)})
		if err != nil || got[9] != math.Float64bits(value) {
			t.Fatalf("%v (%d) after %v (%d), exponent %d, came back as %v, %v", value, k, prev, from, exp, math.Float64frombits(got[9]), err)
		}
	}
	if taken < 5000 {
		t.Errorf("%d steps were taken", taken)
	}
}

// manyBatches are records of values that change, of a base, and of none.
func manyBatches() []byte {
	payload := record.AppendRecord(nil, record.TypeBase, record.AppendBase(nil, exampleBase()))
	payload = record.AppendRecord(payload, record.TypeBatch, exampleBatch())
	rng := rand.New(rand.NewPCG(3, 4))
	var w record.BatchWriter
	var hints [50]record.Hint
	var last [50]float64
	for seq := range uint64(40) {
		w.Reset(8, seq, int64(seq)*15_000, 0)
		for slot := range last {
			was := last[slot]
			if last[slot] += float64(rng.IntN(10*slot*slot+1)) / []float64{1, 100, 3}[slot%3]; last[slot] != was {
				w.AddValue(uint32(slot), math.Float64bits(was), math.Float64bits(last[slot]), &hints[slot])
			}
		}
		payload = record.AppendRecord(payload, record.TypeBatch, w.Append(nil))
		payload = record.AppendRecord(payload, record.TypeLeave, record.AppendLeave(nil, record.Leave{Group: 7, Seq: seq, Slot: 4}))
	}
	return payload
}

func TestRecordsComeBackInFrames(t *testing.T) {
	all := manyBatches()
	for _, payload := range [][]byte{all, all[:len(all)-1], append(bytes.Clone(all), byte(record.TypeBatch)), append(bytes.Clone(all), 77, 1), all[1:]} {
		var f record.Framer
		var u record.Unframer
		for range 2 { // memory is used again
			frame := f.Append(nil, payload, false)
			got, size, err := u.Read(frame)
			if err != nil || size != len(frame) || !bytes.Equal(got, payload) {
				t.Fatalf("a payload of %d bytes comes back as %d in a frame of %d (%d read): %v", len(payload), len(got), len(frame), size, err)
			}
		}
	}
}

// FuzzFrame: any payload comes back, records or not.
func FuzzFrame(f *testing.F) {
	f.Add(manyBatches())
	f.Add(bytes.Repeat([]byte{2, 10, 1, 1, 1, 0, 1, 1, 1, 0, 0, 0}, 30))
	f.Add(bytes.Repeat([]byte{2, 7, 0, 0, 0, 0, 7, 0, 0}, 30)) // stripes that would begin in the header
	f.Fuzz(func(t *testing.T, payload []byte) {
		frame := new(record.Framer).Append(nil, payload, false)
		got, size, err := new(record.Unframer).Read(frame)
		if err != nil || size != len(frame) || !bytes.Equal(got, payload) {
			t.Fatalf("%d bytes come back as %d: %v", len(payload), len(got), err)
		}
	})
}

func TestFindFrame(t *testing.T) {
	one := new(record.Framer).Append(nil, []byte("the first of two payloads"), true)
	data := new(record.Framer).Append(bytes.Clone(one), bytes.Repeat([]byte("another "), 100), false)
	if at := record.FindFrame(data); at != len(one) {
		t.Errorf("found a frame at %d, want %d", at, len(one))
	}
	for i := range one { // wherever the first is damaged, its length included
		damaged := bytes.Clone(data)
		damaged[i] ^= 0x55
		if at := record.FindFrame(damaged); at != len(one) {
			t.Errorf("byte %d damaged: found a frame at %d, want %d", i, at, len(one))
		}
	}
	if at := record.FindFrame(data[:len(data)-1]); at != -1 {
		t.Errorf("found a frame at %d where none is whole", at)
	}
	if at := record.FindFrame(nil); at != -1 {
		t.Errorf("found a frame at %d of nothing", at)
	}
}

func TestUnbegin(t *testing.T) {
	one := new(record.Framer).Append(nil, []byte("one"), true)
	data := new(record.Framer).Append(bytes.Clone(one), bytes.Repeat([]byte("two "), 500), true)
	record.Unbegin(data)
	for at := 0; at < len(data); {
		_, size, err := new(record.Unframer).Read(data[at:])
		if err != nil || record.Begins(data[at:]) {
			t.Fatalf("the frame at %d: begins is %v, %v", at, record.Begins(data[at:]), err)
		}
		at += size
	}
}

func TestTheFutureIsRefused(t *testing.T) {
	future := record.AppendSegmentHeader(nil, 1)
	future[7] = '2'
	if _, err := record.ReadSegmentHeader(future); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("segment: %v", err)
	}
	if _, _, _, err := record.ReadRecord(record.AppendRecord(nil, 99, nil)); err == nil || !strings.Contains(err.Error(), "newer version") {
		t.Errorf("record: %v", err)
	}
}

func FuzzReadFrame(f *testing.F) {
	frame := new(record.Framer).Append(nil, bytes.Repeat([]byte("abc"), 200), true)
	f.Add(frame)
	skewed := make([]byte, 3000)
	for i := range skewed {
		skewed[i] = byte(i * i % 251 % (1 + i%13))
	}
	f.Add(new(record.Framer).Append(nil, skewed, true))
	f.Fuzz(func(t *testing.T, data []byte) {
		if at := record.FindFrame(data); at >= 0 {
			if _, _, err := new(record.Unframer).Read(data[at:]); errors.Is(err, record.ErrTorn) {
				t.Errorf("the frame found at %d is cut off", at)
			}
		}
		payload, size, err := new(record.Unframer).Read(data)
		if err == nil && (size > len(data) || len(payload) > record.FrameMax) {
			t.Errorf("size %d of %d bytes", size, len(data))
		}
	})
}

func FuzzReadRecords(f *testing.F) {
	f.Add(record.AppendRecord(nil, record.TypeBase, record.AppendBase(nil, exampleBase())))
	f.Add(record.AppendRecord(nil, record.TypeBatch, exampleBatch()))
	f.Add(record.AppendRecord(nil, record.TypeLeave, record.AppendLeave(nil, record.Leave{Group: 300, Seq: 7, Slot: 4})))
	f.Add(record.AppendRecord(nil, record.TypeLate, exampleLate()))
	f.Fuzz(func(t *testing.T, payload []byte) {
		for len(payload) > 0 {
			typ, body, rest, err := record.ReadRecord(payload)
			if err != nil {
				return
			}
			payload = rest
			if typ == record.TypeBase {
				if l, err := record.ReadLeave(body); err == nil {
					if again, err := record.ReadLeave(record.AppendLeave(nil, l)); err != nil || again != l {
						t.Fatalf("%+v comes back as %+v: %v", l, again, err)
					}
				}
				if h, err := record.ReadBaseHeader(body); err == nil {
					if b, err := record.ReadBase(body); err == nil && (b.Group != h.Group || b.Seq != h.Seq || b.Last != h.Last || b.Name != h.Name) {
						t.Fatalf("the header of %+v is %+v", b, h)
					}
				}
				if b, err := record.ReadBase(body); err == nil && len(b.Members) > len(body) {
					t.Errorf("%d members of %d bytes", len(b.Members), len(body))
				}
				continue
			}
			if typ == record.TypeLate {
				if l, err := record.ReadLate(body); err == nil && 3*len(l.Samples) > len(body) {
					t.Errorf("%d late samples of %d bytes", len(l.Samples), len(body))
				}
				continue
			}
			if b, got, err := read(t, body, nil); err == nil && len(got) > b.Count {
				t.Errorf("%d values, want %d", len(got), b.Count)
			}
		}
	})
}

// FuzzReadPayload: whatever stands in a frame with a good checksum, and whatever
// its flags say of it.
func FuzzReadPayload(f *testing.F) {
	skewed := make([]byte, 3000)
	for i := range skewed {
		skewed[i] = byte(i * i % 251 % (1 + i%13))
	}
	frame := new(record.Framer).Append(nil, skewed, true)
	f.Add(frame[record.HeaderSize-1], frame[record.HeaderSize:])
	f.Add(byte(1), []byte{2, 3, 1, 0, 7})
	frame = new(record.Framer).Append(nil, manyBatches(), true)
	f.Add(frame[record.HeaderSize-1], frame[record.HeaderSize:])
	f.Fuzz(func(t *testing.T, flags byte, payload []byte) {
		data := binary.LittleEndian.AppendUint32(nil, uint32(len(payload)))
		body := append([]byte{flags}, payload...)
		data = binary.LittleEndian.AppendUint32(data, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
		data = append(data, body...)
		var u record.Unframer
		first, _, err := u.Read(data)
		first = bytes.Clone(first)
		second, _, again := u.Read(data)
		if (err == nil) != (again == nil) || !bytes.Equal(first, second) {
			t.Errorf("read twice: %d bytes, %v, then %d bytes, %v", len(first), err, len(second), again)
		}
	})
}
