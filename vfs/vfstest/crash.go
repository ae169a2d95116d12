package vfstest

import (
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/nilometer/nilometer/vfs"
	"github.com/nilometer/nilometer/vfs/mem"
)

// SeedVariable is the environment variable that holds another seed for
// EveryCrash: a number. Failures print what to set.
const SeedVariable = "NILOMETER_CRASH_SEED"

// Crashes are the settings of EveryCrashWith. The zero value has the defaults.
type Crashes struct {
	// Seed decides which operations are drawn, what happens at the stop and what
	// the crashes leave. 0: SeedVariable, or else 1.
	Seed uint64
	// StopsMax is the most operations that are stopped at; of a workload with
	// more, so many are drawn. 0: 300.
	StopsMax int
	// Draws is the number of crashes with a seed of their own at each stop, next
	// to the one that loses all that was not synced and the one that keeps all.
	// 0: 2.
	Draws int
	// CapacityBytes limits the file system. 0: no limit.
	CapacityBytes uint64
}

// EveryCrash is EveryCrashWith with the defaults.
func EveryCrash(t *testing.T, workload, check func(fs vfs.FS)) {
	t.Helper()
	EveryCrashWith(t, Crashes{}, workload, check)
}

// EveryCrashWith finds out what a loss of power at any moment leaves. It runs
// workload once to the end and counts its operations; then once for each of
// them, stopping the file system there. After each run check gets the file
// system as it is found afterwards, several times: with all lost that was not
// synced, with all kept, and mixed.
//
// workload begins on an empty file system each time. It must end when operations
// fail, without failing the test, and note what was acknowledged in variables
// that it resets at its beginning; check compares with them. It may use
// goroutines; then the number of operations may differ from run to run. When a
// check fails the test, the stop, the seeds and the last operations are logged.
func EveryCrashWith(t *testing.T, settings Crashes, workload, check func(fs vfs.FS)) {
	t.Helper()
	if settings.StopsMax == 0 {
		settings.StopsMax = 300
	}
	if settings.Draws == 0 {
		settings.Draws = 2
	}
	if settings.Seed == 0 {
		settings.Seed = environmentSeed(t)
	}
	total := crashOnce(t, settings, 0, workload, check)
	rng := rand.New(rand.NewPCG(settings.Seed, 0))
	left := min(total, settings.StopsMax)
	for n := 1; n <= total && !t.Failed(); n++ {
		// Of what is to come, draw so many that it adds up.
		if rng.IntN(total-n+1) < left {
			left--
			crashOnce(t, settings, n, workload, check)
		}
	}
}

func environmentSeed(t *testing.T) uint64 {
	t.Helper()
	text := os.Getenv(SeedVariable)
	if text == "" {
		return 1
	}
	seed, err := strconv.ParseUint(text, 10, 64)
	if err != nil || seed == 0 {
		t.Fatalf("%s=%s is no positive number", SeedVariable, text)
	}
	return seed
}

// crashOnce runs the workload with a stop at operation n, or none for 0, and
// checks what crashes leave. It returns the number of operations.
func crashOnce(t *testing.T, settings Crashes, n int, workload, check func(fs vfs.FS)) int {
	t.Helper()
	disk := mem.New()
	if settings.CapacityBytes > 0 {
		disk = mem.NewLimited(settings.CapacityBytes)
	}
	faults := New(disk)
	faults.StopAt(n, settings.Seed)
	phase := "in the workload"
	defer func() { // also when a check ends the goroutine
		if t.Failed() {
			t.Log(describe(faults, settings.Seed, n, phase))
		}
	}()
	workload(faults)
	if t.Failed() {
		return 0
	}
	faults.Stop() // whatever goroutines are left write no more
	seeds := []uint64{mem.LoseAll, mem.KeepAll}
	rng := rand.New(rand.NewPCG(settings.Seed, uint64(n)))
	for range settings.Draws {
		seeds = append(seeds, rng.Uint64()|2) // neither of the two above
	}
	for _, seed := range seeds {
		phase = fmt.Sprintf("in the check after Crash(%d)", seed)
		check(disk.Crash(seed))
		if t.Failed() {
			return 0
		}
	}
	return faults.Count()
}

// describe says where a failure happened and how to have it again.
func describe(faults *FS, seed uint64, n int, phase string) string {
	const shown = 12
	var b strings.Builder
	fmt.Fprintf(&b, "failed %s; the file system was ", phase)
	if n == 0 {
		b.WriteString("not stopped")
	} else {
		fmt.Fprintf(&b, "stopped at operation %d", n)
	}
	fmt.Fprintf(&b, "; repeat with %s=%d; last operations:", SeedVariable, seed)
	ops := faults.Ops()
	for _, op := range ops[max(0, len(ops)-shown):] {
		b.WriteString("\n\t" + op.String())
	}
	return b.String()
}
