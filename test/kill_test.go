//go:build e2e

package test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"
)

// TestKillUnderLoad kills the server at random moments while several senders
// push, and while blocks are cut and compacted: whatever was acknowledged is
// there after every restart. NILOMETER_KILLS sets the number of rounds.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	rounds := 5
	if text := os.Getenv("NILOMETER_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil {
			t.Fatalf("NILOMETER_KILLS=%s: %v", text, err)
		}
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	conf := write(t, dir, "nilometer.yml", "nilometer: {storage: {block_range: 2s}}\n")
	books := newLedger("killed")
	for round := range rounds {
		s := start(t, data, conf)
		books.verify(t, &s.client)
		stop := make(chan struct{})
		var senders sync.WaitGroup
		for w := range 4 {
			senders.Go(func() {
				books.pushUntil(stop, s.client, fmt.Sprintf("r%d-w%d", w%2*round, w), seed+uint64(100*round+w), 0)
			})
		}
		for end := time.Now().Add(time.Duration(500+rnd.IntN(2500)) * time.Millisecond); time.Now().Before(end); {
			books.verify(t, &s.client)
		}
		s.kill()
		close(stop)
		senders.Wait()
		_, acknowledged := books.snapshot()
		t.Logf("round %d: %d samples acknowledged so far", round, acknowledged)
	}
	s := start(t, data, conf)
	if seen := books.verify(t, &s.client); seen == 0 {
		t.Fatal("nothing was pushed")
	}
	s.stop()
	if code, stdout, stderr := run(t, "tsdb", "verify", "--data.dir", data); code != 0 {
		t.Fatalf("tsdb verify: %d\n%s%s", code, stdout, stderr)
	}
}
