package tsdb_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
)

// The variables of TestModel: how many operations it runs, where the seeds
// begin, and a file with a script to run in their place.
const (
	operationsVariable = "NILOMETER_MODEL_OPERATIONS"
	modelSeedVariable  = "NILOMETER_MODEL_SEED"
	modelScriptFile    = "NILOMETER_MODEL_SCRIPT"
)

// modelOperations is the default of operationsVariable: two seconds.
const modelOperations = 30_000

// scriptOperations is the length of a script in calls.
const scriptOperations = 250

// shortenAttempts bounds how often a failing script is run to make it shorter.
const shortenAttempts = 600

// TestModel does random things to a database on a disk that may fail, and the
// same to an obvious model: what is found must be the same, bit for bit, at
// every look, whatever was cut, compacted, cancelled, lost and started again in
// between. After a crash nothing that was acknowledged as Synced may be
// missing, and of what was Logged only the last second.
//
// What counts as an operation is each sample that was stored and each call:
// a commit, opening or ending a group, a cut, a compaction, a deletion, a
// comparison, a start.
func TestModel(t *testing.T) {
	if file := os.Getenv(modelScriptFile); file != "" {
		playFile(t, file)
		return
	}
	standard := modelOperations
	if testing.Short() {
		standard /= 10
	}
	budget, first := number(t, operationsVariable, standard), number(t, modelSeedVariable, 0)
	done := 0
	for seed := uint64(first); done < budget; seed++ {
		count, err := bubble(t, drawScript(seed, scriptOperations))
		if err != nil {
			report(t, seed, err)
		}
		done += count
	}
	t.Logf("%d operations", done)
}

// TestModelScripts plays the scripts that once failed: testdata/model.
func TestModelScripts(t *testing.T) {
	names, err := filepath.Glob("testdata/model/*.jsonl")
	if err != nil || len(names) == 0 {
		t.Fatalf("no scripts in testdata/model (%v)", err)
	}
	for _, name := range names {
		t.Run(strings.TrimSuffix(filepath.Base(name), ".jsonl"), func(t *testing.T) { playFile(t, name) })
	}
}

func number(t *testing.T, variable string, standard int) int {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" {
		return standard
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 0 {
		t.Fatalf("%s=%q is no number", variable, text)
	}
	return n
}

// bubble plays a script on a clock of its own.
func bubble(t *testing.T, s script) (count int, err error) {
	t.Helper()
	return bubbleOf(t, s, func(*run) {})
}

// bubbleOf is bubble, and lets end see the run at its end.
func bubbleOf(t *testing.T, s script, end func(*run)) (count int, err error) {
	t.Helper()
	synctest.Test(t, func(*testing.T) { count, err = play(s, end) })
	return count, err
}

// report ends the test with the shortest script found that fails.
func report(t *testing.T, seed uint64, err error) {
	t.Helper()
	short := drawScript(seed, scriptOperations).shorten(shortenAttempts, func(s script) bool {
		_, failure := bubble(t, s)
		if failure != nil {
			err = failure
		}
		return failure != nil
	})
	file, cerr := os.CreateTemp("", "model-*.jsonl") // for the person who looks into it
	if cerr != nil {
		t.Fatal(err, cerr)
	}
	defer file.Close()
	if _, cerr = file.WriteString(short.String()); cerr != nil {
		t.Fatal(err, cerr)
	}
	text := short.String()
	if len(text) > textMax {
		text = text[:textMax] + "..."
	}
	t.Fatalf("seed %d: %s\nthis script fails, run it with %s=%s:\n%s", seed, err, modelScriptFile, file.Name(), text)
}

// textMax bounds how much of a script a failure prints.
const textMax = 10_000

func playFile(t *testing.T, name string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	s, err := parseScript(f)
	if err != nil {
		t.Fatalf("%s: %s", name, err)
	}
	count, err := bubble(t, s)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(fmt.Sprint(count, " operations"))
}
