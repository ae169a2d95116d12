package scrape_test

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/nilometer/nilometer/storage/storagetest"
)

// TestOrder: in whatever order a target shows its series, each has its values,
// and its end.
func TestOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const series, rounds = 150, 6
		r := rand.New(rand.NewPCG(11, 12))
		e := &exporter{}
		b := start(t, storagetest.MemoryOptions{}, nil)
		begin := time.Now()
		o := one(e)
		want, there := make([]string, series), make([]bool, series)
		for round := range rounds {
			var lines []string
			for i := range series {
				show := r.IntN(5) > 0
				switch at := 10 * round; {
				case show:
					lines = append(lines, fmt.Sprintf("x{i=\"%03d\"} %d\n", i, 1000*round+i))
					want[i] += fmt.Sprintf(" %d@%d", 1000*round+i, at)
				case there[i]:
					want[i] += fmt.Sprintf(" S@%d", at)
				}
				there[i] = show
			}
			r.Shuffle(len(lines), func(i, j int) { lines[i], lines[j] = lines[j], lines[i] })
			e.set(strings.Join(lines, ""))
			if round == 0 {
				b.apply(o)
				time.Sleep(9 * time.Second)
				continue
			}
			time.Sleep(10 * time.Second)
		}
		b.stop()
		got := b.dump(begin)
		for i, w := range want {
			line := fmt.Sprintf(`{__name__="x", i="%03d", %s}:%s`, i, inst, w)
			if w != "" && !strings.Contains(got+"\n", line+"\n") {
				t.Errorf("there is no %s", line)
			}
		}
		if t.Failed() {
			t.Log(got)
		}
	})
}
