// Package formattest holds the bytes of a format to what is written down of
// them: golden files and FORMAT.md. It is for the tests of the packages of
// format/, which run in the package's own directory.
package formattest

import (
	"os"
	"strings"
	"testing"
)

// Golden fails the test when got is not what a golden file has, and returns what
// the file has. With rewrite the file is made to have got first: for formats that
// are meant to change.
func Golden(t testing.TB, rewrite bool, file, got string) (want string) {
	t.Helper()
	if rewrite {
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(content) {
		t.Errorf("the bytes differ from %s; run with -rewrite if the format is meant to change:\n%s", file, got)
	}
	return string(content)
}

// Documented fails the test when FORMAT.md does not show an example as it is, but
// for white space.
func Documented(t testing.TB, example string) {
	t.Helper()
	doc, err := os.ReadFile("FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(folded(string(doc)), folded(example)) {
		t.Errorf("FORMAT.md does not show the example as it is:\n%s", example)
	}
}

// folded has one blank for each run of white space.
func folded(s string) string { return strings.Join(strings.Fields(s), " ") }
