package nilometer_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"path"
	"path/filepath"
	"sort"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/nilometer/nilometer"

// layers is the architecture: a package may import packages of layers above
// its own line, and of its own line only along the edges of sameLayer. A name
// covers the packages below it.
var layers = []struct {
	name     string
	packages []string
}{
	{"model: values only", []string{"model"}},
	{"format and files: bytes <-> values; the file contract", []string{"format", "vfs"}},
	{"blob: the bucket contract", []string{"blob"}},
	{"contracts between engines", []string{"storage", "metadb"}},
	{"engines", []string{"tsdb", "promql", "cluster"}},
	{"flows: see storage, never tsdb or cluster", []string{
		"limits", "discovery", "scrape", "hostmetrics", "ingest", "rules", "alerting", "remote", "frontend",
	}},
	{"edges: drivers, API, web", []string{"metadb/sqlite", "metadb/postgres", "api", "web"}},
	{"configuration", []string{"config"}},
	{"assembly", []string{"server"}},
	{"command line", []string{"cli"}},
	{"programs", []string{"cmd", "sim", "test", "bench", "tools"}},
}

// sameLayer lists who may import whom within one layer; importing within one
// of the names of layers is always allowed, but for isolated below.
var sameLayer = map[string][]string{
	"scrape": {"discovery", "hostmetrics", "limits"},
	"ingest": {"limits"},
	"rules":  {"alerting"},
	// Alertmanagers are found as targets are.
	"alerting": {"discovery"},
	"cmd":      {"cli"},
}

// isolated packages are imported by nothing but what is listed: heavy
// libraries live behind them, or they are implementation details of one owner.
var isolated = map[string][]string{
	"config": {"server", "cli", "cmd"},
	"server": {"cli", "cmd"},
}

// notAbove makes exceptions from "lower layers may be imported": flows see the
// storage contract and never the engine behind it.
var notAbove = map[string][]string{
	"flows: see storage, never tsdb or cluster": {"tsdb", "cluster"},
	"edges: drivers, API, web":                  {"tsdb", "cluster"},
}

// formatForbidden keeps codecs pure: bytes in, values out.
var formatForbidden = []string{"vfs", "blob"}

func TestLayers(t *testing.T) {
	imports := importsOf(t, func(file string) bool { return !strings.HasSuffix(file, "_test.go") })
	pkgs := make([]string, 0, len(imports))
	for pkg := range imports {
		pkgs = append(pkgs, pkg)
	}
	sort.Strings(pkgs)
	for _, pkg := range pkgs {
		if pkg == "." {
			continue
		}
		if layerOf(pkg) < 0 {
			t.Errorf("package %s stands in no layer: add it to the architecture (layers_test.go, ARCHITECTURE.md) or place it in one that does", pkg)
			continue
		}
		for _, imp := range imports[pkg] {
			if problem := forbidden(pkg, imp); problem != "" {
				t.Errorf("%s imports %s: %s", pkg, imp, problem)
			}
		}
	}
}

func forbidden(pkg, imp string) string {
	from, to := layerOf(pkg), layerOf(imp)
	if from < 0 || to < 0 {
		return "one of them stands in no layer"
	}
	if owners, ok := isolated[root(imp)]; ok && root(imp) != root(pkg) && !covered(pkg, owners) && !isProgram(pkg) {
		return fmt.Sprintf("only %s may: pass plain options instead", strings.Join(owners, ", "))
	}
	if covered(imp, notAbove[layers[from].name]) {
		return "flows and edges see the contract (storage), not the engine: take an interface, server passes the implementation"
	}
	if root(pkg) == "format" && covered(imp, formatForbidden) {
		return "formats are pure: bytes come in, values go out"
	}
	if to > from {
		return fmt.Sprintf("%q is above %q: move the code down, or pass what is needed as an argument", layers[to].name, layers[from].name)
	}
	if to == from && root(pkg) != root(imp) && !covered(imp, sameLayer[root(pkg)]) {
		return fmt.Sprintf("both are in the layer %q: add the edge to sameLayer if the design wants it", layers[from].name)
	}
	return ""
}

func isProgram(pkg string) bool { return layers[layerOf(pkg)].name == "programs" }

// layerOf returns the index of pkg's layer by its longest listed prefix, -1
// without one.
func layerOf(pkg string) int {
	best, at := 0, -1
	for i, l := range layers {
		for _, p := range l.packages {
			if (pkg == p || strings.HasPrefix(pkg, p+"/")) && len(p) > best {
				best, at = len(p), i
			}
		}
	}
	return at
}

func root(pkg string) string {
	first, _, _ := strings.Cut(pkg, "/")
	return first
}

func covered(pkg string, names []string) bool {
	for _, n := range names {
		if pkg == n || strings.HasPrefix(pkg, n+"/") {
			return true
		}
	}
	return false
}

// importsOf maps each package of the module (relative to its root) to the
// packages of the module that the chosen files import, build tags aside.
func importsOf(t *testing.T, choose func(file string) bool) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, file := range goFiles(t) {
		if !choose(file) {
			continue
		}
		f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		if err != nil {
			t.Fatal(err)
		}
		pkg := path.Dir(filepath.ToSlash(file))
		out[pkg] = append(out[pkg], nil...)
		for _, spec := range f.Imports {
			name, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				t.Fatal(err)
			}
			if rel, ok := strings.CutPrefix(name, module+"/"); ok {
				out[pkg] = append(out[pkg], rel)
			}
		}
	}
	return out
}

// goFiles lists the Go files of the module, other modules and testdata aside.
func goFiles(t *testing.T) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		name := d.Name()
		if d.IsDir() {
			if p != "." && (name == "testdata" || name == "node_modules" || name == "tools" || name == "peers" || strings.HasPrefix(name, ".")) {
				return filepath.SkipDir
			}
			return nil
		}
		if strings.HasSuffix(name, ".go") {
			out = append(out, p)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(out) == 0 {
		t.Fatal("found no Go files: the test must run in the module's root")
	}
	return out
}
