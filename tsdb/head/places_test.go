package head_test

import (
	"context"
	"runtime"
	"sync"
	"testing"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/model/series"
	"github.com/nilometer/nilometer/model/tenant"
	"github.com/nilometer/nilometer/storage"
	"github.com/nilometer/nilometer/storage/storagetest"
	"github.com/nilometer/nilometer/vfs/mem"
)

// gate lets new series in, and stops at one name until it is opened: the group
// that the series comes to stays locked.
type gate struct {
	storage.Admitter
	name    string
	reached chan struct{}
	opened  chan struct{}
}

func (g *gate) Admit(id tenant.ID, key series.Key, lset labels.Labels) storage.Reason {
	if lset.Get("__name__") == g.name {
		close(g.reached)
		<-g.opened
	}
	return storage.ReasonNone
}

// TestARepeatFromAFormerGroupThatIsLocked has a sample again that its series'
// first group has, while somebody else has that group's lock.
func TestARepeatFromAFormerGroupThatIsLocked(t *testing.T) {
	door := &gate{Admitter: storage.AdmitAll{}, name: "slow", reached: make(chan struct{}), opened: make(chan struct{})}
	s, err := open(mem.New(), door)
	if err != nil {
		t.Fatal(err)
	}
	defer s.log.Close() //nolint:errcheck // in memory
	var groups [2]storage.Group
	for i, name := range []string{"first", "second"} {
		if groups[i], err = s.OpenGroup(t.Context(), tenant.Default, storagetest.Spec(storage.Open, name)); err != nil {
			t.Fatal(err)
		}
	}
	x := []labels.Labels{storagetest.Named("x")}
	for i, g := range groups { // the second sample makes x private
		if err := write(s, g, storage.Batch{Time: origin + int64(i), Values: []float64{float64(i)}}, x, storage.Logged); err != nil {
			t.Fatal(err)
		}
	}
	var slow, repeat sync.WaitGroup
	slow.Go(func() {
		var out [1]storage.Resolution
		_, _ = groups[0].Resolve(context.Background(), []labels.Labels{storagetest.Named("slow")}, out[:])
	})
	<-door.reached
	var res storage.Result
	repeat.Go(func() {
		var out [1]storage.Resolution
		version, rerr := groups[1].Resolve(context.Background(), x, out[:])
		if err = rerr; err == nil {
			res, err = groups[1].Append(context.Background(), &storage.Batch{Time: origin, Version: version, Slots: []storage.Slot{out[0].Slot}, Values: []float64{0}}, storage.Logged)
		}
	})
	for range 1000 { // it does not wait for more than the lock
		runtime.Gosched()
	}
	close(door.opened)
	slow.Wait()
	repeat.Wait()
	if err != nil || len(res.Rejected) > 0 || res.Appended != 0 {
		t.Fatalf("the repeat: %+v, %v; want no rejection", res, err)
	}
}
