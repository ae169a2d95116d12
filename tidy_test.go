package nilometer_test

import (
	"bytes"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// longFiles are the Go files over 800 lines, each with its reason. The list
// only shrinks.
var longFiles = map[string]string{}

const fileLinesMax = 800

// heavy maps the import path of a heavy library to the only packages that may
// import it, so that its cost stays in one leaf.
var heavy = map[string][]string{
	"modernc.org/sqlite":                             {"metadb/sqlite"},
	"github.com/pressly/goose":                       {"metadb/sqlite", "metadb/postgres"},
	"github.com/jackc/pgx":                           {"metadb/postgres"},
	"github.com/prometheus/alertmanager":             {"alerting"},
	"github.com/prometheus/procfs":                   {"hostmetrics"},
	"github.com/shirou/gopsutil":                     {"hostmetrics"},
	"github.com/minio/minio-go":                      {"blob/s3"},
	"github.com/prometheus/prometheus/discovery":     {"discovery"},
	"github.com/prometheus/prometheus/tsdb":          {"tsdb/prometheus"},
	"github.com/prometheus/prometheus/storage":       {"tsdb/prometheus"},
	"github.com/spf13/cobra":                         {"cli"},
	"github.com/prometheus/prometheus/promql":        {"rules"}, // its Vector is in the signature of upstream's templates
	"github.com/prometheus/prometheus/config":        {},
	"github.com/prometheus/prometheus/web":           {},
	"github.com/prometheus/prometheus/promql/parser": {"promql", "rules", "api", "config", "cli", "server", "frontend", "bench", "test"},
}

// silent packages compute; what they have to say is in their results.
var silent = []string{"model", "format"}

// badNames are drawers: what is in them has a better name.
var badNames = []string{"util", "utils", "common", "helpers", "helper", "base", "misc", "shared"}

// globalTypesForbidden are the types of package variables that are shared state;
// compiled expressions, embedded files and tables that nothing writes are fine.
var globalTypesForbidden = regexp.MustCompile(`^(\*?slog\.Logger|\*?prometheus\.(Registry|Counter|CounterVec|GaugeVec|HistogramVec)|prometheus\.(Counter|Gauge|Histogram|Registerer)|sync\.(Mutex|RWMutex|Once|Map|Pool)|atomic\..*)$`)

func TestPackageComments(t *testing.T) {
	documented := map[string]bool{}
	for _, file := range nonTest(t) {
		f := parse(t, file, parser.ParseComments|parser.PackageClauseOnly)
		pkg := path.Dir(file)
		documented[pkg] = documented[pkg] || f.Doc != nil
		for _, bad := range badNames {
			if path.Base(pkg) == bad || f.Name.Name == bad {
				t.Errorf("%s: a package named %q says nothing: name it for its one idea", file, bad)
			}
		}
	}
	for pkg, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment: say what it is, owns and promises", pkg)
		}
	}
}

func TestFormatsAreDocumentedGoldenAndFuzzed(t *testing.T) {
	for _, dir := range subdirs(t, "format") {
		if dir == "format/formattest" {
			continue // for the tests of the others
		}
		if _, err := os.Stat(filepath.Join(dir, "FORMAT.md")); err != nil {
			t.Errorf("%s has no FORMAT.md", dir)
		}
		golden, _ := filepath.Glob(filepath.Join(dir, "testdata", "*"))
		if len(golden) == 0 {
			t.Errorf("%s has no golden file in testdata", dir)
		}
		fuzzed := false
		tests, _ := filepath.Glob(filepath.Join(dir, "*_test.go"))
		for _, file := range tests {
			fuzzed = fuzzed || bytes.Contains(read(t, file), []byte("func Fuzz"))
		}
		if !fuzzed {
			t.Errorf("%s has no fuzz target", dir)
		}
	}
}

func TestFileLengths(t *testing.T) {
	for _, file := range goFiles(t) {
		content := read(t, file)
		if isGenerated(content) {
			continue
		}
		lines := bytes.Count(content, []byte("\n"))
		_, listed := longFiles[file]
		if lines > fileLinesMax && !listed {
			t.Errorf("%s has %d lines, over %d: find the second idea in it", file, lines, fileLinesMax)
		}
		if lines <= fileLinesMax && listed {
			t.Errorf("%s is short enough now: take it off the list", file)
		}
	}
}

func TestHeavyImportsStayInTheirLeaf(t *testing.T) {
	for _, file := range nonTest(t) {
		pkg := path.Dir(file)
		if root(pkg) == "bench" || root(pkg) == "test" {
			continue
		}
		for _, imp := range parse(t, file, parser.ImportsOnly).Imports {
			name, err := strconv.Unquote(imp.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if lib, owners := heavyOf(name); lib != "" && !covered(pkg, owners) {
				t.Errorf("%s imports %s: only %v may", file, name, owners)
			}
			if covered(pkg, silent) && (name == "log/slog" || name == "log") {
				t.Errorf("%s imports %s: model and format packages stay silent", file, name)
			}
			if name == "flag" || strings.HasSuffix(name, "/pflag") {
				if r := root(pkg); r != "cli" && r != "cmd" {
					t.Errorf("%s imports %s: flags are parsed in cli and cmd alone", file, name)
				}
			}
		}
	}
}

// heavyOf returns the longest listed library that covers an import.
func heavyOf(name string) (lib string, owners []string) {
	for l, o := range heavy {
		if (name == l || strings.HasPrefix(name, l+"/")) && len(l) > len(lib) {
			lib, owners = l, o
		}
	}
	return lib, owners
}

func TestNoMutableGlobals(t *testing.T) {
	for _, file := range nonTest(t) {
		f := parse(t, file, parser.SkipObjectResolution)
		for _, decl := range f.Decls {
			gen, ok := decl.(*ast.GenDecl)
			if !ok || gen.Tok != token.VAR {
				continue
			}
			for _, spec := range gen.Specs {
				vs := spec.(*ast.ValueSpec)
				if kind := source(vs.Type); globalTypesForbidden.MatchString(kind) {
					t.Errorf("%s: the package variable %s of type %s is shared state: pass it in", file, vs.Names[0].Name, kind)
				}
			}
		}
	}
}

func TestTheProjectSpeaksOfItself(t *testing.T) {
	foreign := regexp.MustCompile(`/work/(main|shared)|\.\./shared/|\.\./\.library|proxy\.golang\.org|registry\.npmjs\.org`)
	for _, file := range goFiles(t) {
		if file == "tidy_test.go" {
			continue
		}
		if loc := foreign.FindIndex(read(t, file)); loc != nil {
			t.Errorf("%s names a place outside of the project at byte %d", file, loc[0])
		}
	}
}

func nonTest(t *testing.T) []string {
	t.Helper()
	var out []string
	for _, f := range goFiles(t) {
		if !strings.HasSuffix(f, "_test.go") {
			out = append(out, filepath.ToSlash(f))
		}
	}
	return out
}

func subdirs(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.IsDir() {
			out = append(out, filepath.Join(dir, e.Name()))
		}
	}
	return out
}

func parse(t *testing.T, file string, mode parser.Mode) *ast.File {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, mode)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func read(t *testing.T, file string) []byte {
	t.Helper()
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return content
}

func isGenerated(content []byte) bool {
	first, _, _ := bytes.Cut(content, []byte("\n"))
	return bytes.HasPrefix(first, []byte("// Code generated "))
}

// source prints the type expressions that globalTypesForbidden names.
func source(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.Ident:
		return e.Name
	case *ast.SelectorExpr:
		return fmt.Sprintf("%s.%s", source(e.X), e.Sel.Name)
	case *ast.StarExpr:
		return "*" + source(e.X)
	}
	return ""
}
