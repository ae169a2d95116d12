package scrape_test

import (
	"os"
	"slices"
	"strings"
	"testing"
)

// TestDocumented compares docs/bad-input.md with the cases of the tests: each
// row of its tables about targets names the cases that prove it in its last
// column, and every case has a row.
func TestDocumented(t *testing.T) {
	page, err := os.ReadFile("../docs/bad-input.md")
	if err != nil {
		t.Fatal(err)
	}
	var cases []string
	for _, list := range [][]turning{hostileAnswers(), oddAnswers(), bombs(), hostileBodies(), dubiousSamples(), nans()} {
		for _, c := range list {
			cases = append(cases, c.name)
		}
	}
	targets, _, _ := strings.Cut(string(page), "\n## Pushes")
	var documented []string
	for line := range strings.Lines(targets) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), "|")
		last := strings.TrimSpace(cells[len(cells)-1])
		if !strings.HasPrefix(line, "|") || last == "" || last == "test" || strings.HasPrefix(last, "---") {
			continue
		}
		documented = append(documented, strings.Split(last, ", ")...)
	}
	for _, name := range cases {
		if !slices.Contains(documented, name) {
			t.Errorf("no row names the case %q", name)
		}
	}
	for _, name := range documented {
		if !slices.Contains(cases, name) {
			t.Errorf("a row names %q, which is no case", name)
		}
	}
}
