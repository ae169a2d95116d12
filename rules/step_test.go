package rules_test

import (
	"bufio"
	"fmt"
	"os"
	"sort"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/labels"

	"github.com/nilometer/nilometer/rules"
)

// TestStepScripts runs testdata/step.txt: a rule's timing, then at each time
// which alerts the expression returns, and what Step makes of it.
func TestStepScripts(t *testing.T) {
	f, err := os.Open("testdata/step.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var timing rules.Timing
	var alerts map[rules.Fingerprint]rules.Alert
	lines := bufio.NewScanner(f)
	cases := 0
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimSpace(lines.Text())
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case strings.HasPrefix(line, "rule "):
			fields := map[string]time.Duration{}
			for _, kv := range strings.Fields(line)[1:] {
				k, v, _ := strings.Cut(kv, "=")
				d, err := time.ParseDuration(v)
				if err != nil {
					t.Fatalf("line %d: %v", n, err)
				}
				fields[k] = d
			}
			timing = rules.Timing{For: fields["for"], KeepFiringFor: fields["keep"]}
			alerts = nil
		default:
			at, rest, _ := strings.Cut(line, ":")
			seenText, want, ok := strings.Cut(rest, "=>")
			d, err := time.ParseDuration(at)
			if err != nil || !ok {
				t.Fatalf("line %d: want TIME: ALERTS => STATES, have %q", n, line)
			}
			seen := map[rules.Fingerprint]rules.Alert{}
			for _, name := range strings.Fields(seenText) {
				lset := labels.FromStrings("alertname", name)
				seen[rules.FingerprintOf(lset)] = rules.Alert{Labels: lset}
			}
			var changes []rules.Transition
			alerts, changes = rules.Step(timing, alerts, seen, epoch.Add(d))
			got := render(alerts, changes)
			if got != strings.TrimSpace(want) {
				t.Errorf("line %d: at %s\n got %s\nwant %s", n, at, got, strings.TrimSpace(want))
			}
			cases++
		}
	}
	if cases == 0 {
		t.Fatal("the script has no steps")
	}
}

var epoch = time.Unix(1_700_000_000, 0).UTC()

// render writes alerts as name=state@seconds since active, and the number of
// transitions.
func render(alerts map[rules.Fingerprint]rules.Alert, changes []rules.Transition) string {
	var parts []string
	for _, a := range alerts {
		text := fmt.Sprintf("%s=%s@%g", a.Labels.Get("alertname"), a.State, a.ActiveAt.Sub(epoch).Seconds())
		if !a.ResolvedAt.IsZero() {
			text += fmt.Sprintf("-%g", a.ResolvedAt.Sub(epoch).Seconds())
		}
		parts = append(parts, text)
	}
	sort.Strings(parts)
	var moves []string
	for _, c := range changes {
		moves = append(moves, fmt.Sprintf("%s>%s", c.From, c.To))
	}
	sort.Strings(moves)
	return strings.TrimSpace(strings.Join(parts, " ") + " [" + strings.Join(moves, " ") + "]")
}

func TestStepKeepsItsInput(t *testing.T) {
	lset := labels.FromStrings("alertname", "a")
	fp := rules.FingerprintOf(lset)
	prev := map[rules.Fingerprint]rules.Alert{fp: {Labels: lset, State: rules.Firing, ActiveAt: epoch, FiredAt: epoch}}
	rules.Step(rules.Timing{}, prev, nil, epoch.Add(time.Minute))
	if prev[fp].State != rules.Firing {
		t.Errorf("Step changed its input to %s", prev[fp].State)
	}
}
