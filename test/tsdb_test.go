//go:build e2e

package test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestTSDBCommands looks into a data directory beside a server and after it has
// ended, compacts it, and asks a server afterwards what was asked before.
func TestTSDBCommands(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	config := write(t, dir, "config.yml", shortBlocks)
	s := start(t, data, config)
	r := &recorded{t: t, begin: time.Now().Add(-100 * time.Second).Truncate(time.Second)}
	r.push(s, 30)
	waitBlocks(t, data, 2)

	// Beside the server what reads works, and what writes names the holder.
	expectRun(t, 0, `(?s)^TENANT .*\ndefault +\S+ .* blocks with \d+ samples`, `^$`, "tsdb", "list", "--data.dir", data)
	expectRun(t, 0, `(?s)kept\{`, `in no block yet are left out: .*nilometer on 127`, "tsdb", "dump", "--data.dir", data)
	expectRun(t, 0, `(?s)kept `, `in no block yet are left out`, "tsdb", "analyze", "--data.dir", data)
	expectRun(t, 0, `(?m)^wal/\d+: .* sound$`, `^$`, "tsdb", "verify", "--data.dir", data)
	expectRun(t, 1, `^$`, `in use: .*nilometer on 127`, "tsdb", "compact", "--data.dir", data)

	want := r.answer(s)
	s.stop()
	expectRun(t, 0, `(?s)tenant default: 5 series, 150 samples, .*METRIC .*\nkept +5 +150 .*LABEL .*\nid +5 .*id="0" +1`, `^$`, "tsdb", "analyze", "--data.dir", data)
	var blocks uint64
	_, stdout, _ := run(t, "tsdb", "list", "--data.dir", data, "--json")
	for _, line := range strings.Split(strings.TrimSpace(stdout), "\n") {
		var b struct{ Samples uint64 }
		if err := json.Unmarshal([]byte(line), &b); err != nil {
			t.Fatalf("%q: %v", line, err)
		}
		blocks += b.Samples
	}
	if blocks == 0 || blocks >= 150 {
		t.Errorf("%d samples are in blocks", blocks)
	}
	dump := r.dump(data)
	expectRun(t, 0, `(?s)done: .* bytes/sample of 150 samples`, `^$`, "tsdb", "compact", "--data.dir", data)
	if after := r.dump(data); after != dump {
		t.Errorf("after compact the dump is\n%s\nwant\n%s", after, dump)
	}
	if segments := glob(t, data, "store/block/*/*/meta.json"); len(segments) != 1 {
		t.Errorf("blocks %q are left", segments)
	}
	s = start(t, data, config)
	r.expect(s, want, "after compact")
	r.push(s, 5)
	if n, _ := s.number("sum(count_over_time(kept[1h]))"); n != 175 {
		t.Errorf("%v samples after five more seconds, want 175", n)
	}
	s.stop()

	// The dump is what promtool makes blocks of.
	file := write(t, dir, "dump.txt", r.dump(data))
	code, _, stderr := execute(t, binary(t, "PROMTOOL_BIN"), "tsdb", "create-blocks-from", "openmetrics", file, filepath.Join(dir, "prometheus"))
	if code != 0 {
		t.Fatalf("promtool: %s", stderr)
	}
	if err := os.MkdirAll(filepath.Join(dir, "prometheus", "wal"), 0o700); err != nil { // promtool wants one
		t.Fatal(err)
	}
	code, theirs, stderr := execute(t, binary(t, "PROMTOOL_BIN"), "tsdb", "dump", filepath.Join(dir, "prometheus"))
	_, ours, _ := run(t, "tsdb", "dump", "--data.dir", data, "--format=promtool")
	if code != 0 || theirs != ours {
		t.Errorf("promtool dumps %d\n%s%s\nwe dump\n%s", code, theirs, stderr, ours)
	}
}

// dump is the dump of a directory, checked against what was pushed.
func (r *recorded) dump(data string) string {
	r.t.Helper()
	code, stdout, stderr := run(r.t, "tsdb", "dump", "--data.dir", data)
	if code != 0 || stderr != "" {
		r.t.Fatalf("tsdb dump: %d: %s", code, stderr)
	}
	first := fmt.Sprintf("kept{id=\"0\",instance=\"pusher\",job=\"push\"} 0 %d\n", r.begin.Unix())
	if !strings.HasPrefix(stdout, first) || !strings.HasSuffix(stdout, "\n# EOF\n") || strings.Count(stdout, "\n") != 5*r.n+1 {
		r.t.Errorf("the dump is\n%s\nwant it to begin with\n%s", stdout, first)
	}
	return stdout
}
