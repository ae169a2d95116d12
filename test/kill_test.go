//go:build e2e

package test

import (
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// killRounds is the default of NILOMETER_KILLS, the number of kills.
const killRounds = 3

// TestKillUnderLoad kills the server at random moments while it scrapes and
// several senders push, while blocks are cut and compacted, and while it starts.
// Whatever was acknowledged is there after every start, also what was sent
// twice because the first answer never came, and nothing is there twice. Each
// round's time from the start of the process to the first complete answer is
// reported.
func TestKillUnderLoad(t *testing.T) {
	t.Parallel()
	rounds := killRounds
	if text := os.Getenv("NILOMETER_KILLS"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			t.Fatalf("NILOMETER_KILLS=%s is no number of rounds", text)
		}
		rounds = n
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	k := newKills(t, seed)
	for round := range rounds {
		k.round(round)
	}
	s := k.begin()
	if seen := k.check(s); seen == 0 {
		t.Fatal("nothing was pushed")
	}
	s.stop()
	if code, stdout, stderr := run(t, "tsdb", "verify", "--data.dir", k.data); code != 0 {
		t.Fatalf("tsdb verify: %d\n%s%s", code, stdout, stderr)
	}
	slices.Sort(k.answers)
	_, acknowledged := k.books.snapshot()
	t.Logf("%d kills (%d during the start), %d samples acknowledged, %d scrapes; from start to first answer: min %s, median %s, max %s",
		rounds, k.early, acknowledged, k.exporter.scrapes.Load(), k.answers[0], k.answers[len(k.answers)/2], k.answers[len(k.answers)-1])
}

// kills is a server that is killed again and again, and what it has to know.
type kills struct {
	*testing.T
	rng        *rand.Rand
	seed       uint64
	data, conf string
	address    string
	books      *ledger
	exporter   *countingExporter

	fenced  map[int64]bool // scrapes that were found before a push was acknowledged
	early   int            // kills during the start
	answers []time.Duration
}

func newKills(t *testing.T, seed uint64) *kills {
	dir := t.TempDir()
	k := &kills{T: t, rng: rand.New(rand.NewPCG(seed, 0)), seed: seed, data: filepath.Join(dir, "data"), address: freeAddress(t),
		books: newLedger("killed"), exporter: newCountingExporter(t), fenced: map[int64]bool{}}
	k.conf = write(t, dir, "nilometer.yml", fmt.Sprintf(`
global: {scrape_interval: 100ms, scrape_timeout: 100ms}
nilometer: {storage: {block_range: 2s}}
scrape_configs: [{job_name: counting, static_configs: [{targets: [%q]}]}]
`, strings.TrimPrefix(k.exporter.URL, "http://")))
	return k
}

// round starts the server, loads it, and kills it.
func (k *kills) round(round int) {
	if k.rng.IntN(3) == 0 { // once more, during the start
		p := startProcess(k.T, nil, binary(k.T, "NILOMETER_BIN"), k.flags()...)
		time.Sleep(time.Duration(k.rng.IntN(300)) * time.Millisecond)
		p.kill()
		k.early++
	}
	s := k.begin()
	k.check(s)
	k.books.again(s.client)
	stop := make(chan struct{})
	var senders sync.WaitGroup
	for w := range 4 {
		senders.Go(func() {
			k.books.pushUntil(stop, s.client, fmt.Sprintf("r%d-w%d", w%2*round, w), k.seed+uint64(100*round+w), 0)
		})
	}
	for end := time.Now().Add(time.Duration(500+k.rng.IntN(2500)) * time.Millisecond); time.Now().Before(end); {
		k.books.verify(k.T, &s.client)
		k.fence(s, round)
	}
	s.kill()
	close(stop)
	senders.Wait()
}

func (k *kills) flags() []string {
	return []string{"--data.dir", k.data, "--config.file=" + k.conf, "--web.listen-address=" + k.address}
}

// begin starts the server and notes when it answers.
func (k *kills) begin() *server {
	k.Helper()
	s := &server{client: client{t: k.T, url: "http://" + k.address, http: &http.Client{Timeout: patience}}}
	begin := time.Now()
	s.process = startProcess(k.T, &s.stdout, binary(k.T, "NILOMETER_BIN"), k.flags()...)
	for {
		status, _, err := s.try(http.MethodGet, "/api/v1/query?query=count(up)", nil, nil)
		if err == nil && status == http.StatusOK {
			break
		}
		if !s.running() || time.Since(begin) > patience {
			k.Fatalf("no answer within %s: %d, %v", time.Since(begin), status, err)
		}
		time.Sleep(2 * time.Millisecond)
	}
	k.answers = append(k.answers, time.Since(begin).Round(time.Millisecond))
	s.waitReady()
	return s
}

// fence makes the scrapes durable that the server has: the log is one, and a
// push is acknowledged when the log is on the disk up to it.
func (k *kills) fence(s *server, round int) {
	k.Helper()
	found := s.counted()
	now := time.Now().UnixMilli()
	k.books.mustPush(&s.client, pushed{k.books.metric, fmt.Sprint("fence", round), []sample{{now, 1}}})
	for _, n := range found {
		k.fenced[n] = true
	}
}

// check compares with the books, and with the scrapes that are durable.
func (k *kills) check(s *server) int {
	k.Helper()
	have := map[int64]bool{}
	for _, n := range s.counted() {
		have[n] = true
	}
	for n := range k.fenced {
		if !have[n] {
			k.Fatalf("scrape %d is missing, one of %d", n, len(k.fenced))
		}
	}
	return k.books.verify(k.T, &s.client)
}
