package column_test

import (
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/nilometer/nilometer/format/column"
	mcolumn "github.com/nilometer/nilometer/model/column"
)

type namedTimes struct {
	name     string
	times    []int64
	bytesMax int
}

func timeColumns() []namedTimes {
	rng := rand.New(rand.NewPCG(3, 4))
	const start = 1795343225000
	grid := func(n int, f func(i int) int64) []int64 {
		times := make([]int64, n)
		for i := range times {
			times[i] = start + int64(i)*5000 + f(i)
		}
		return times
	}
	drift := grid(480, func(int) int64 { return 0 })
	for i := range drift {
		drift[i] += int64(i) * 3
		if i > 0 {
			drift[i] += rng.Int64N(3)
		}
	}
	return []namedTimes{
		{"empty", nil, 1},
		{"one", []int64{start}, 8},
		{"before the epoch", []int64{-5, -4, 7}, 8},
		{"extremes", []int64{math.MinInt64, 0, math.MaxInt64}, 64},
		{"regular", grid(480, func(int) int64 { return 0 }), 10},
		{"one late", grid(480, func(i int) int64 {
			if i == 300 {
				return 40
			}
			return 0
		}), 18},
		{"a gap", grid(480, func(i int) int64 { return int64(i/300) * 60000 }), 19},
		{"jitter", grid(480, func(int) int64 { return rng.Int64N(8) }), 195},
		{"drift", drift, 220},
		{"anything", []int64{1, 100, 101, 5000, 5001, 5002, 1 << 40}, 40},
	}
}

func checkTimes(t *testing.T, times []int64) []byte {
	t.Helper()
	data := column.AppendTimes([]byte{1}, times)[1:]
	got, err := column.DecodeTimes([]int64{9}, data, len(times))
	if err != nil {
		t.Fatalf("%v, column % x", err, data)
	}
	if got[0] != 9 || !slices.Equal(got[1:], times) {
		t.Fatalf("%v, want %v", got[1:], times)
	}
	if len(times) > 0 {
		if _, err := column.DecodeTimes(nil, data, len(times)-1); err == nil {
			t.Fatal("more positions than asked for were decoded")
		}
	}
	return data
}

func TestTimes(t *testing.T) {
	for _, c := range timeColumns() {
		t.Run(c.name, func(t *testing.T) {
			data := checkTimes(t, c.times)
			if len(data) > c.bytesMax {
				t.Errorf("%d bytes, want at most %d", len(data), c.bytesMax)
			}
			for cut := range data {
				if _, err := column.DecodeTimes(nil, data[:cut], len(c.times)); err == nil {
					t.Fatalf("the first %d of %d bytes were taken for a column", cut, len(data))
				}
			}
		})
	}
}

func TestDecodeTimesRefusesTimesThatDoNotIncrease(t *testing.T) {
	for _, data := range []string{
		"\x08\x02\x00",             // interval 0
		"\x0c\x02\x05\x00\x00",     // bytes after the end
		"\x0d\x02\x05\x01\x00\x0d", // step 5-7
		"\x0f\x02\x40\x01",         // steps of -1
		"\x08\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01", // past the largest time
	} {
		_, err := column.DecodeTimes(nil, []byte(data), 10)
		var corrupt *column.CorruptError
		if !errors.As(err, &corrupt) {
			t.Errorf("% x: error %v, want a CorruptError", data, err)
		}
	}
}

func FuzzDecodeTimes(f *testing.F) {
	for _, c := range timeColumns() {
		f.Add(column.AppendTimes(nil, c.times))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		times, err := column.DecodeTimes(nil, data, 1000)
		if err != nil {
			return
		}
		for i := 1; i < len(times); i++ {
			if times[i] <= times[i-1] {
				t.Fatalf("time %d after %d", times[i], times[i-1])
			}
		}
		checkTimes(t, times)
	})
}

func TestRuns(t *testing.T) {
	const absent, stale = mcolumn.Absent, mcolumn.Stale
	for _, c := range []struct {
		name string
		runs []mcolumn.Run
		want string
	}{
		{"none", nil, "\x00"},
		{"a stale marker at the end", []mcolumn.Run{{At: 479, Len: 1, State: stale}}, "\x01\xfd\x0e"},
		{"absent at first", []mcolumn.Run{{At: 0, Len: 400, State: absent}}, "\x01\x02\x8e\x03"},
		{"stale, then absent", []mcolumn.Run{{At: 10, Len: 1, State: stale}, {At: 11, Len: 2, State: absent}}, "\x02\x29\x02\x00"},
		{"throughout", []mcolumn.Run{{At: 0, Len: 480, State: absent}}, "\x01\x02\xde\x03"},
	} {
		t.Run(c.name, func(t *testing.T) {
			data := column.AppendRuns(nil, c.runs)
			if string(data) != c.want {
				t.Fatalf("% x, want % x", data, c.want)
			}
			runs, rest, err := column.DecodeRuns(nil, append(data, 5), 480)
			if err != nil || !slices.Equal(runs, c.runs) || len(rest) != 1 {
				t.Fatalf("%v, rest % x, %v", runs, rest, err)
			}
		})
	}
}

func FuzzDecodeRuns(f *testing.F) {
	f.Add([]byte("\x02\x29\x02\x00"), uint16(480))
	f.Add([]byte("\x02\x02\x00\x02\x00"), uint16(480))
	f.Fuzz(func(t *testing.T, data []byte, n uint16) {
		runs, rest, err := column.DecodeRuns(nil, data, int(n))
		if err != nil {
			if len(runs) != 0 || len(rest) != len(data) {
				t.Fatalf("%v and %d bytes beside %v", runs, len(rest), err)
			}
			return
		}
		if err := mcolumn.ValidateRuns(runs, int(n)); err != nil {
			t.Fatal(err)
		}
		again, _, err := column.DecodeRuns(nil, column.AppendRuns(nil, runs), int(n))
		if err != nil || !slices.Equal(again, runs) {
			t.Fatalf("%v came back as %v, %v", runs, again, err)
		}
	})
}
